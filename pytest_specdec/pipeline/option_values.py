"""Parsers of options and ini keys: text -> value, or argparse's error."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pytest_specdec.domain.facts import Facts, parse_facts
from pytest_specdec.domain.speculation_mode import Speculation
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.estimators.slo import Slo, parse_slo
from pytest_specdec.measure.budget import Budget
from pytest_specdec.redaction import without_credentials
from pytest_specdec.report.formats import FORMATS, format_of
from pytest_specdec.suite.axes import AXES

_ENDPOINT = re.compile(r"(?:(?P<model>[^=@]+)@)?(?:(?P<mode>[^@\s]+?)=)?(?P<url>https?://[^\s]+)")
_NUMBERS = re.compile(r"\d+(?:\.\d+){3}")
_NAME = re.compile(r"[\w.~-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOption:
    """One `--specdec-endpoint`; None where the user does not say."""

    model: str | None
    speculation: Speculation | None
    url: str


def endpoint(text: str) -> EndpointOption:
    """Read `[MODEL@][off=|mtp=K[,al=L]=]URL`."""
    wrong = f"{without_credentials(text)!r} is not [MODEL@][off=|mtp=K[,al=L]=]URL, such as mtp=3=http://host:8000/v1"
    match = _ENDPOINT.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(wrong)
    try:
        speculation = Speculation.parse_option(match["mode"]) if match["mode"] else None
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(f"{wrong}; {error}") from error
    _refuse_no_address(match["url"])
    return EndpointOption(model=match["model"], speculation=speculation, url=match["url"])


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
    """Read `5x2`: sessions (server starts), and repeats on each."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not SESSIONSxREPEATS, such as 5x2")
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
    """Read the name of a report file; its suffix selects the format."""
    path = Path(text)
    if format_of(path.name) is None:
        endings = ", ".join(one.suffix for one in FORMATS)
        raise argparse.ArgumentTypeError(f"{text!r}: the name must end in one of {endings}")
    return path


def facts(text: str) -> Mapping[str, Facts]:
    """Read a file of declared facts."""
    try:
        return parse_facts(Path(text).read_text(encoding="utf-8"))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.strerror}") from error
    except (InvalidInputError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def fact_names(text: str) -> tuple[str, ...]:
    """Read names of facts, separated by spaces, lines or commas."""
    names = tuple(text.replace(",", " ").split())
    known = Facts.__struct_fields__
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"unknown fact {unknown[0]!r}; there are: {', '.join(known)}")
    return names


def one_line(text: str) -> str:
    """Read a command: it may span lines of the ini file, where to a shell the end of a line would end it."""
    return " ".join(text.split("\n")).strip()


def python(text: str) -> str:
    """Read the path of a Python; empty is the one that runs pytest."""
    return one_line(text) or sys.executable


def _refuse_no_address(url: str) -> None:
    if not _is_address(url):
        raise argparse.ArgumentTypeError(
            f"{without_credentials(url)!r} does not name a server: it takes http:// or https://, a host, and a port "
            "from 1 to 65535 where there is one, such as http://host:8000/v1; in a user name or password, write / as "
            "%2F and # as %23"
        )


def _is_address(url: str) -> bool:
    """Test that every HTTP client can use the URL: some raise where others connect to another place."""
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
