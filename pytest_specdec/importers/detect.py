"""Which tool made a file, by its content and never by its name; and the results that a file, folder or pattern has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_specdec.errors import BrokenFileError, InvalidInputError
from pytest_specdec.importers.aiperf import is_aiperf, read_aiperf
from pytest_specdec.importers.definitions import INFERENCEX, SPECDEC, Meaning
from pytest_specdec.importers.documents import Document, read_documents
from pytest_specdec.importers.result import PeerResult
from pytest_specdec.importers.sglang_bench import is_sglang_bench, read_sglang_bench
from pytest_specdec.importers.vllm_bench import is_vllm_bench, read_vllm_bench
from pytest_specdec.results.run import is_run

_HEAD = 200
_INFERENCEX = frozenset({"hw", "hardware", "framework", "metrics", "tput_per_gpu"})
"""Any of these fields is in each of its rows."""
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
        raise BrokenFileError(
            f"{path} is no saved run, and no result of InferenceX, vllm bench serve, SGLang's bench_serving or AIPerf"
        )
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
                if _failed_run(document):
                    lost += 1
                elif form is None and file == match:
                    raise BrokenFileError(f"{file} is no result of vllm bench serve, SGLang's bench_serving or AIPerf")
                elif form is not None and not _warm_up(document):
                    found.append(form.read(document))
    if not found:
        raise BrokenFileError(f"no result of vllm bench serve, SGLang's bench_serving or AIPerf in {path}")
    if lost:
        found[0] = replace(found[0], remarks=(*found[0].remarks, f"{lost} run(s) of the sweep failed and are missing"))
    return found


def _inside(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*.json*") if file.suffix in (".json", ".jsonl"))


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
