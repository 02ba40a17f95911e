"""Text of a command-line option or an ini key -> its value; what cannot be read is argparse's error."""

from __future__ import annotations

import argparse
import os
import re
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pytest_specdec.domain.cell import NATURAL
from pytest_specdec.engine.provision import EndpointOption
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.estimators.slo import Slo, parse_slo
from pytest_specdec.measure.budget import Budget
from pytest_specdec.redaction import without_credentials
from pytest_specdec.suite.axes import AXES

REPORT_SUFFIXES = (".md", ".json", ".csv", ".html")

_ENDPOINT = re.compile(
    r"(?:(?P<model>[^=@]+)@)?(?:(?P<mode>off|mtp=\d+)(?:,al=(?P<pinned>\d+(?:\.\d+)?))?=)?(?P<url>https?://[^\s]+)"
)
_NUMBERS = re.compile(r"\d+(?:\.\d+){3}")
_NAME = re.compile(r"[\w.~-]+", re.ASCII)


def endpoint(text: str) -> EndpointOption:
    """Read `[MODEL@][off=|mtp=K[,al=L]=]URL`."""
    match = _ENDPOINT.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{without_credentials(text)!r} is not [MODEL@][off=|mtp=K[,al=L]=]URL, such as mtp=3=http://host:8000/v1"
        )
    _refuse_no_address(match["url"])
    mode = match["mode"]
    mtp = None if mode is None else 0 if mode == "off" else int(mode.removeprefix("mtp="))
    if match["pinned"] and not mtp:
        raise argparse.ArgumentTypeError(
            f"{without_credentials(text)!r}: al= pins the acceptance length of an MTP mode: mtp=3,al=2.5=URL"
        )
    acceptance = f"{float(match['pinned']):g}" if match["pinned"] else NATURAL
    return EndpointOption(model=match["model"], mtp=mtp, url=match["url"], acceptance=acceptance)


def exporter(text: str) -> str:
    """Read the URL of a metrics exporter, with or without `http://`."""
    url = text if "://" in text else f"http://{text}"
    _refuse_no_address(url)
    return url


def alias(text: str) -> tuple[str, str]:
    """Read `MODEL=NAME`."""
    model, sign, name = text.partition("=")
    if not (model and sign and name):
        raise argparse.ArgumentTypeError(f"{text!r} is not MODEL=NAME")
    return model, name


def sessions(text: str) -> tuple[int, int]:
    """Read `5x2`: sessions, and runs in each."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not SESSIONSxRUNS, such as 5x2")
    return int(match[1]), int(match[2])


def only(text: str) -> tuple[str, tuple[str, ...]]:
    """Read `AXIS=VALUE,VALUE`."""
    axis, sign, values = text.partition("=")
    if axis not in AXES or not sign or not values:
        raise argparse.ArgumentTypeError(f"{text!r} is not AXIS=VALUE with AXIS one of {', '.join(AXES)}")
    # `off` reads better than 0 and means the same.
    return axis, tuple("0" if axis == "mtp" and value == "off" else value for value in values.split(","))


def budget(text: str) -> Budget:
    """Read `30min`, `2h`, `4gpuh` or `$5`."""
    match = re.fullmatch(r"(\$)?(\d+(?:\.\d+)?)\s*(min|h|gpuh)?", text.strip().lower())
    if match is None or bool(match[1]) == bool(match[3]) or float(match[2]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a budget such as 30min, 2h, 4gpuh (GPU-hours) or '$5'")
    amount = float(match[2])
    if match[1]:
        return Budget(usd=amount)
    return (
        Budget(gpu_hours=amount) if match[3] == "gpuh" else Budget(seconds=amount * (60 if match[3] == "min" else 3600))
    )


def window(text: str) -> tuple[float, float]:
    """Read `10..120` or `12`, seconds."""
    least, dots, most = text.partition("..")
    floor = positive(least)
    ceiling = positive(most) if dots else floor
    if ceiling < floor:
        raise argparse.ArgumentTypeError(f"{text!r}: the longest window is shorter than the shortest one")
    return floor, ceiling


def percent(text: str) -> float:
    """Read `1%` or `1` as 0.01."""
    number = positive(text.strip().removesuffix("%").strip())
    if number >= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage below 100")
    return number / 100


def slo(text: str) -> Slo:
    """Read `ttft=500,tpot=50`."""
    try:
        return parse_slo(text)
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def gpus(text: str) -> tuple[str, ...] | None:
    """Read indices or UUIDs, like CUDA_VISIBLE_DEVICES; None, every GPU, when there is none or it is `all`."""
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    return None if parts in ((), ("all",)) else parts


def header(text: str) -> tuple[str, str]:
    """Read `NAME: VALUE`, where `@VARIABLE` as value is read from the environment."""
    name, colon, value = (part.strip() for part in text.partition(":"))
    if not colon or not value or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise argparse.ArgumentTypeError("it is not of the form 'NAME: VALUE'")
    if value.startswith("@"):
        if value[1:] not in os.environ:
            raise argparse.ArgumentTypeError(f"{name}: there is no environment variable {value[1:]}")
        value = os.environ[value[1:]]
    if not value.isprintable():
        raise argparse.ArgumentTypeError(f"{name}: the value has characters that no header may have")
    return name, value


def levels(text: str) -> tuple[float, ...]:
    """Read `55,75,96`, tok/s/user."""
    return tuple(positive(part) for part in text.split(","))


def report(text: str) -> Path:
    """Read the name of a report file; its ending says the format."""
    path = Path(text)
    if path.suffix not in REPORT_SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text!r}: the name must end in one of {', '.join(REPORT_SUFFIXES)}")
    return path


def _refuse_no_address(url: str) -> None:
    if not _is_address(url):
        raise argparse.ArgumentTypeError(
            f"{without_credentials(url)!r} does not name a server: it takes http:// or https://, a host, and a port "
            "from 1 to 65535 where there is one, such as http://host:8000/v1; in a user name or password, write / as "
            "%2F and # as %23"
        )


def _is_address(url: str) -> bool:
    """Whether every HTTP client can take the URL: some raise where others connect to another place."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if "[" in parts.netloc.rpartition("@")[2] or _NUMBERS.fullmatch(host):
            ip_address(host)
        elif not _NAME.fullmatch(host):
            return False
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and port != 0 and url.isascii() and url.isprintable()


def count(text: str) -> int:
    """Read a whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def positive(text: str) -> float:
    """Read a positive number."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


API_KEY_VARIABLES = ("SPECDEC_API_KEY", "OPENAI_API_KEY")
