"""Settings rows -> flags and ini keys of pytest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pytest_specdec.pipeline.option import Option, rows
from pytest_specdec.pipeline.settings import GROUPS


def add_options(parser: pytest.Parser, groups: Iterable[type] = GROUPS) -> None:
    """Register the flag and the ini key of every row, and of its variant for the reference engine, in one group."""
    section = parser.getgroup("specdec", "speculative decoding: measure, compare and gate MTP")
    for group in groups:
        own = [row for _, row in rows(group)]
        for row in (*own, *(row.of_reference() for row in own if row.reference)):
            if row.flag:
                section.addoption(row.flag, **_argparse(row))
            if row.ini:
                parser.addini(row.ini, row.ini_help(), default="")


def _argparse(row: Option) -> dict[str, Any]:
    """Arguments of `add_argument`; None is a flag that the user does not give."""
    words: dict[str, Any] = {"default": None, "help": row.flag_help().replace("%", "%%")}
    if row.parse is bool:
        return words | {"action": "store_true"}
    if row.gather is not None:
        words["action"] = "append"
    if row.bare is not None:
        words |= {"nargs": "?", "const": row.bare}
    return words | {"type": row.parse, "metavar": row.metavar, "choices": row.choices}
