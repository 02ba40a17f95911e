"""Two sweeps by another tool, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.importers.curves import PeerCurve, speculation
from pytest_specdec.importers.definitions import QUANTITIES
from pytest_specdec.report.comparison_table import matched_tables
from pytest_specdec.report.render import Table, with_uncertainty

_STATED = (
    *("model", "backend", "workload", "engine", "engine_version", "settings", "hardware", "precision", "parallelism"),
    "date",
)
_NOT_STATED = "not stated"


def peer_report(
    comparison: Comparison, old: PeerCurve, new: PeerCurve, levels: Sequence[float] | None = None
) -> tuple[list[Comparison], list[Table], list[str]]:
    """Tables at matched interactivity and at matched concurrency, and the origin of the numbers."""
    tables, remarks = matched_tables(comparison, levels)
    return [comparison], [*tables, provenance_table(old, new)], remarks


def provenance_table(old: PeerCurve, new: PeerCurve) -> Table:
    """Origin of both sides: the tool, its definitions, and the fields that its files leave out."""
    sides = (old, new)
    rows = [
        ["files", *(_files(side) for side in sides)],
        ["tool", *(f"{side.meaning.tool} {side.stated('tool_version') or '(version not stated)'}" for side in sides)],
        ["output tokens", *(side.stated("token_source") for side in sides)],
        ["GPUs", *(str(side.gpus) for side in sides)],
        ["concurrency", *(_concurrencies(side) for side in sides)],
        ["ISL / OSL", *(f"{side.isl:.1f} / {side.osl:.1f}" for side in sides)],
        ["speculation", *(speculation(side.draft_tokens) for side in sides)],
        ["acceptance length", *(_lengths(side) for side in sides)],
        ["failed requests", *(side.stated("failed") or _NOT_STATED for side in sides)],
        *(
            [_words(name), *(side.stated(name) or _NOT_STATED for side in sides)]
            for name in _STATED
            if _known(name, sides)
        ),
        ["not in the files", *(_missing(side) for side in sides)],
    ]
    unknown = [_words(name) for name in _STATED if not _known(name, sides)]
    if unknown:
        rows.append(["not stated", ", ".join(unknown), ""])
    meaning = old.meaning
    notes = [f"{words}: {getattr(meaning, name)}" for name, words in QUANTITIES.items() if name != "output_tokens"]
    return Table(title="origin of the numbers", headers=("field", "old side", "new side"), rows=rows, notes=notes)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _known(name: str, sides: Sequence[PeerCurve]) -> bool:
    return any(side.stated(name) for side in sides)


def _lengths(side: PeerCurve) -> str:
    points = sorted(side.curve.points, key=lambda point: point.concurrency)
    told = {p.concurrency: length for p in points if (length := p.readings.get("acceptance_length")) is not None}
    return ", ".join(f"c{level} {with_uncertainty(length, 2)}" for level, length in told.items()) or _NOT_STATED


def _files(side: PeerCurve) -> str:
    names = list(dict.fromkeys(result.source.partition(", result ")[0] for result in side.results))
    runs = f", {len(side.results)} runs" if len(side.results) != len(names) else ""
    return (names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more") + runs


def _concurrencies(side: PeerCurve) -> str:
    return ", ".join(str(level) for level in sorted(point.concurrency for point in side.curve.points))


def _missing(side: PeerCurve) -> str:
    lacking = dict.fromkeys(key for result in side.results for key in result.missing)
    return ", ".join(METRICS[key].title for key in lacking) or "-"
