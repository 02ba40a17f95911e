"""Which tool made a file, by its content and never by its name; and the results that a file, folder or pattern has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_specdec.errors import BrokenFileError, InvalidInputError
from pytest_specdec.peers.meaning import INFERENCEX, SPECDEC, Meaning
from pytest_specdec.peers.result import PeerResult
from pytest_specdec.run import is_run
from pytest_specdec.sources.aiperf import is_aiperf, read_aiperf
from pytest_specdec.sources.documents import Document, read_documents
from pytest_specdec.sources.sglang_bench import is_sglang_bench, read_sglang_bench
from pytest_specdec.sources.vllm_bench import is_vllm_bench, read_vllm_bench

_HEAD = 200
_REFUSED = {
    "benchmarks": "GuideLLM's files are not read: its time per output token has TTFT in it",
    "load_summary": "inference-perf's files are not read: it counts tokens by its own tokenizer by default",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    recognise: Callable[[Document], bool]
    read: Callable[[Document], PeerResult]


_FORMATS = (
    _Format(recognise=is_aiperf, read=read_aiperf),
    _Format(recognise=is_sglang_bench, read=read_sglang_bench),
    _Format(recognise=is_vllm_bench, read=read_vllm_bench),
)


def meaning_of(path: Path) -> Meaning | None:
    """Whose results a file, folder or pattern holds.

    SPECDEC for a saved run and INFERENCEX for anything that is no other tool's; None for results to import.

    Raises:
        BrokenFileError: the file cannot be read.
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
    try:
        documents = read_documents(path)
    except BrokenFileError:
        return INFERENCEX
    if any(_format(document) for document in documents):
        return None
    first = documents[0].content
    for mark, why in _REFUSED.items():
        if mark in first:
            raise BrokenFileError(f"{path}: {why}")
    return INFERENCEX


def load_peers(path: Path) -> list[PeerResult]:
    """Read every result of a file, of a folder and those below it, or of the files that fit a pattern.

    In a folder, files that are no results are passed over, as is the warm-up of a sweep.

    Raises:
        BrokenFileError: a file is broken, or there is no result.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*.json*") if file.suffix in (".json", ".jsonl"))
    else:
        files = sorted(_matches(path)) if _is_pattern(path) and not path.exists() else [path]
    found: list[PeerResult] = []
    lost = 0
    for file in files:
        for document in read_documents(file):
            form = _format(document)
            lost += _failed_run(document)
            if form is not None and not _warm_up(document):
                found.append(form.read(document))
            elif form is None and not path.is_dir() and not _failed_run(document):
                raise BrokenFileError(f"{document.source} is no result of vllm bench serve, bench_serving or AIPerf")
    if not found:
        raise BrokenFileError(f"no result of vllm bench serve, SGLang's bench_serving or AIPerf in {path}")
    if lost:
        found[0] = replace(found[0], remarks=(*found[0].remarks, f"{lost} run(s) of the sweep failed and are missing"))
    return found


def _format(document: Document) -> _Format | None:
    return next((form for form in _FORMATS if form.recognise(document)), None)


def _warm_up(document: Document) -> bool:
    """A sweep of vLLM keeps its warm-up beside the runs, under this number."""
    return document.content.get("run_number") == -1


def _failed_run(document: Document) -> bool:
    """What vLLM's sweep writes in place of a run that failed."""
    return {"error_type", "bench_overrides"} <= document.content.keys()


def _is_pattern(path: Path) -> bool:
    return any(sign in str(path) for sign in "*?[")


def _matches(path: Path) -> Iterator[Path]:
    root = Path(path.anchor)
    try:
        yield from root.glob(str(path.relative_to(root)))
    except (ValueError, NotImplementedError) as error:
        raise InvalidInputError(f"{path} is no pattern of file names: {error}") from error
