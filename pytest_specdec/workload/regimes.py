"""The prompts argument of a suite -> the names of the regimes of its workloads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pytest_specdec.domain.cell import FILE, SENTENCES
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.workload.prompt_file import PromptFile, load_prompts
from pytest_specdec.workload.regime import SIZES, TEXT, Regime

Prompts = PromptFile | tuple[str, ...]
"""A file, or names of categories."""


def read_prompts(value: object, folder: Path) -> Prompts:
    """Read one or several categories such as `text/code`, or else a file whose name is relative to `folder`.

    Raises:
        InvalidInputError: the value is neither, or there is no such file.
        BrokenFileError: the file has no prompts.
    """
    several = isinstance(value, Sequence) and not isinstance(value, str)
    values = tuple(value) if isinstance(value, Sequence) and several else (value,)
    if values and all(isinstance(one, str) and one.startswith(TEXT) for one in values):
        return tuple(map(str, dict.fromkeys(values)))
    if several or not isinstance(value, str | Path):
        raise InvalidInputError(
            f"prompts of the specdec marker must be a file, or categories such as 'text/code': {value!r}"
        )
    return load_prompts(folder / value)


def regimes_of(prompts: Prompts | None, sequence: str) -> list[str]:
    """Regimes of the workloads of a sequence.

    Raises:
        InvalidInputError: the prompts do not fit the sequence, or there is no such category.
    """
    length = re.split("[x/]", sequence.strip().lower())[0]
    of_file, of_text = length == "file", length in SIZES
    match prompts:
        case None if not of_file and not of_text:
            return [SENTENCES]
        case PromptFile() if of_file:
            return [f"{FILE}{prompts.digest}"]
        case tuple() if of_text:
            return [str(Regime.parse(f"{category}/{length}")) for category in prompts]
    raise InvalidInputError(
        f"sequence {sequence!r} of the specdec marker does not fit its prompts: prompts='my.jsonl' goes with "
        "sequence='file/256', prompts='text/code' with sequence='medium/256' (or short, or long), and generated "
        "prompts with lengths such as 1k1k"
    )
