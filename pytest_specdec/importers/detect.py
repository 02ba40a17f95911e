"""Recognise the tool behind a file by its content, never by its name, and read the results of files and folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_specdec.errors import BrokenFileError, InvalidInputError
from pytest_specdec.importers.aiperf import AIPERF_EXPORT
from pytest_specdec.importers.definitions import INFERENCEX, SPECDEC, Meaning
from pytest_specdec.importers.documents import Document, Format, read_documents
from pytest_specdec.importers.result import PeerResult
from pytest_specdec.importers.sglang_bench import SGLANG_LINE
from pytest_specdec.importers.vllm_bench import VLLM_RESULT
from pytest_specdec.results.run import is_run

_HEAD = 200
_INFERENCEX = frozenset({"hw", "hardware", "framework", "metrics", "tput_per_gpu"})
"""Fields of which each of its rows has at least one."""
_REFUSED = {
    "benchmarks": "GuideLLM's files are not read: its time per output token has TTFT in it",
    "load_summary": "inference-perf's files are not read: it counts tokens by its own tokenizer by default",
}


_FORMATS: tuple[Format[Any], ...] = (AIPERF_EXPORT, SGLANG_LINE, VLLM_RESULT)
_TOOLS = "vllm bench serve, SGLang's bench_serving or AIPerf"


def meaning_of(path: Path) -> Meaning | None:
    """Tool whose results a file, folder or pattern holds.

    SPECDEC for a saved run and INFERENCEX for its rows; None for results to import.

    Raises:
        BrokenFileError: the file cannot be read, is cut off, or is of none of these.
    """
    if path.is_dir() or (_is_pattern(path) and not path.exists()):
        return None
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise BrokenFileError(f"cannot read {path}: {error.strerror}") from error
    if is_run(head):
        return SPECDEC
    documents = read_documents(path)
    if any(_format(document) for document in documents):
        return None
    fields = documents[0].content.keys()
    for mark, why in _REFUSED.items():
        if mark in fields:
            raise BrokenFileError(f"{path}: {why}")
    if not fields & _INFERENCEX:
        raise BrokenFileError(f"{path} is no saved run, and no result of InferenceX, {_TOOLS}")
    return INFERENCEX


def load_peers(path: Path) -> list[PeerResult]:
    """Read every result of a file, of a folder and those below it, or of the files and folders that fit a pattern.

    In a folder, files that are no results are passed over, as is the warm-up of a sweep.

    Raises:
        BrokenFileError: a file is broken, or there is no result.
    """
    matches = sorted(_matches(path)) if _is_pattern(path) and not path.exists() else [path]
    found: list[PeerResult] = []
    lost = 0
    for match in matches:
        for file in _inside(match):
            for document in read_documents(file):
                form = _format(document)
                # vLLM's sweep writes such a record in place of a failed run, and keeps its warm-up as run -1.
                if {"error_type", "bench_overrides"} <= document.content.keys():
                    lost += 1
                elif form is None and file == match:
                    raise BrokenFileError(f"{file} is no result of {_TOOLS}")
                elif form is not None and document.content.get("run_number") != -1:
                    found.append(form.read(document))
    if not found:
        raise BrokenFileError(f"no result of {_TOOLS} in {path}")
    if lost:
        found[0] = replace(found[0], remarks=(*found[0].remarks, f"{lost} run(s) of the sweep failed and are missing"))
    return found


def _inside(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*.json*") if file.suffix in (".json", ".jsonl"))


def _format(document: Document) -> Format[Any] | None:
    return next((form for form in _FORMATS if form.fits(document)), None)


def _is_pattern(path: Path) -> bool:
    return any(sign in str(path) for sign in "*?[")


def _matches(path: Path) -> Iterator[Path]:
    root = Path(path.anchor)
    try:
        yield from root.glob(str(path.relative_to(root)))
    except (ValueError, NotImplementedError) as error:
        raise InvalidInputError(f"{path} is no pattern of file names: {error}") from error
