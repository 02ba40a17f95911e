"""JSON: a whole run, or the rows of comparisons."""

from __future__ import annotations

import msgspec
import pandas as pd

from pytest_specdec.report.comparison_table import comparisons_frame
from pytest_specdec.report.formats import Compared, Session
from pytest_specdec.results.run import Run, run_json


def of_run(run: Run, _session: Session) -> str:
    """The run as it is saved, for `specdec report` and `specdec compare`."""
    return run_json(run)


def of_compared(compared: Compared) -> str:
    """Rows of all comparisons."""
    return frame_json(comparisons_frame(compared.comparisons, compared.levels))


def frame_json(frame: pd.DataFrame) -> str:
    """A list of row objects; a missing number is null."""
    records = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
    return msgspec.json.format(msgspec.json.encode(records), indent=1).decode() + "\n"
