"""Write tables and tidy rows to files; the format follows the file's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pandas as pd

from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.report.comparison_table import comparison_frame
from pytest_specdec.report.render import Table, markdown
from pytest_specdec.results.files import write_whole

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_outputs(
    outputs: Mapping[str, Path],
    comparisons: Sequence[Comparison],
    tables: Sequence[Table],
    remarks: Sequence[str],
    levels: Sequence[float] | None = None,
) -> list[Path]:
    """Write each of `md`, `csv` and `json` that is asked for; returns the files written."""
    writers = {
        "md": lambda: markdown_page(tables, remarks),
        "csv": lambda: frame_csv(comparisons_frame(comparisons, levels)),
        "json": lambda: frame_json(comparisons_frame(comparisons, levels)),
    }
    for suffix, path in outputs.items():
        write_whole(path, writers[suffix]())
    return list(outputs.values())


def markdown_page(tables: Sequence[Table], remarks: Sequence[str]) -> str:
    """All tables, then the remarks that belong to none of them."""
    return "\n".join([*(markdown(table) for table in tables), *(f"- {remark}" for remark in remarks)]).rstrip() + "\n"


def comparisons_frame(comparisons: Sequence[Comparison], levels: Sequence[float] | None = None) -> pd.DataFrame:
    """Tidy rows of several comparisons, each with the identity of its curves."""
    frames = []
    for comparison in comparisons:
        frame = comparison_frame(comparison, levels)
        identity = comparison.candidate.identity
        for position, name in enumerate(("model", "hardware", "engine", "precision", "parallelism", "sequence")):
            frame.insert(position, name, getattr(identity, name))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def frame_csv(frame: pd.DataFrame) -> str:
    """The frame as CSV, in which a text that begins like a formula stays text: a spreadsheet would compute it."""
    inert = frame.copy()
    for name in frame.select_dtypes(exclude="number"):
        inert[name] = frame[name].map(_inert)
    return inert.to_csv(index=False)


def _inert(value: object) -> object:
    """As the page's own export does it: a quote before it (report/page/points.js)."""
    if not isinstance(value, str):
        return value
    # A bare carriage return would begin a row, and with it perhaps a formula: only a line feed is quoted.
    quote = "'" if value.startswith(_FORMULA) else ""
    return f"{quote}{value}".replace("\r", "\n")


def frame_json(frame: pd.DataFrame) -> str:
    """A list of row objects; a missing number is null."""
    records = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
    return msgspec.json.format(msgspec.json.encode(records), indent=1).decode() + "\n"
