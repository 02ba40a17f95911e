"""Text of an option -> its value; a mistake is one sentence, which shows no secret."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from pytest_specdec.domain.speculation_mode import Speculation
from pytest_specdec.pipeline.option_values import EndpointOption, endpoint, exporter, gpus

MTP3 = Speculation(draft_tokens=3)
NO_ADDRESS = [
    "http://host:port/v1",
    "http://host:99999/v1",
    "http://host:0/v1",
    "http://host:-1/v1",
    "http://host:8000:8000/v1",
    "http://[::1/v1",
    "http://[abc]/v1",
    "http://[v1.a]/v1",
    "http://:8000/v1",
    "http:///v1",
    "http://256.1.1.1/v1",
    "http://a|b/v1",
    "http://höst/v1",
    "http://host/v1\x7f",
    "http://me:hunter2#hunter2@host/v1",
    "http://me:hunter2/hunter2@host/v1",
    "http://me:hunter2@host:port/v1?token=hunter2",
]
ADDRESSES = [
    "http://host:8000/v1",
    "https://gpu-node_7.example./v1",
    "http://127.0.0.1:9/v1",
    "http://[::1]:8000/v1",
    "http://[fe80::1%25eth0]/v1",
    "https://me:p%40ss@gateway/v1?x=1",
]


@pytest.mark.parametrize("read", [endpoint, exporter])
@pytest.mark.parametrize("url", NO_ADDRESS)
def test_a_mistyped_url_is_one_sentence_without_its_secrets(read: Callable[[str], object], url: str) -> None:
    with pytest.raises(
        argparse.ArgumentTypeError, match=r"does not name a server: .* such as http://host:8000/v1"
    ) as told:
        read(url)
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize("url", ADDRESSES)
def test_a_url_stays_as_it_was_typed(url: str) -> None:
    assert endpoint(f"toy@mtp=3={url}") == EndpointOption(model="toy", speculation=MTP3, url=url)
    assert exporter(url) == url


def test_an_endpoint_of_no_known_mode_shows_no_secret() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"'host/v1' is not \[MODEL@\]\[off=\|mtp=K"):
        endpoint("mtp=x=http://me:hunter2@host/v1?token=hunter2")


def test_an_exporter_may_leave_out_http() -> None:
    assert exporter("me:secret@gpu-node:9400") == "http://me:secret@gpu-node:9400"
    assert exporter("127.0.0.1:9400/metrics") == "http://127.0.0.1:9400/metrics"
    with pytest.raises(argparse.ArgumentTypeError, match="it takes http:// or https://"):
        exporter("ftp://gpu-node:9400")


def test_lists_of_gpus_are_read_like_cudas() -> None:
    assert gpus(" 0, GPU-ab ,") == ("0", "GPU-ab")
    assert gpus("") is None
    assert gpus("all") is None
