"""Result files of SemiAnalysis InferenceX: rows of its public API, and the flat `agg_*.json` artefacts.

Both give seconds and tok/s. `median_intvty` is 1 / median TPOT and `tput_per_gpu` counts input and output tokens over
the whole run, ramp-up and drain included. `num_*_gpu` of the API's rows is tp x ep by a quirk of its ingestion: the
GPU count of a row is its tensor parallelism.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from pytest_specdec.domain.cell import Workload
from pytest_specdec.domain.curve import CurveIdentity, Point
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.errors import BrokenFileError, InvalidInputError
from pytest_specdec.importers.documents import read_documents

_READINGS = {
    "output_tput_per_gpu": ("output_tok_s_gpu", 1.0),
    "input_tput_per_gpu": ("input_tok_s_gpu", 1.0),
    "median_tpot": ("tpot_p50_ms", 1000.0),
    "p90_tpot": ("tpot_p90_ms", 1000.0),
    "median_ttft": ("ttft_p50_ms", 1000.0),
    "p90_ttft": ("ttft_p90_ms", 1000.0),
    "p99_ttft": ("ttft_p99_ms", 1000.0),
    "median_e2el": ("e2e_p50_ms", 1000.0),
    "p90_e2el": ("e2e_p90_ms", 1000.0),
}


class PublishedPoint(msgspec.Struct, frozen=True):
    """One published row: a point, and the curve to which it belongs."""

    identity: CurveIdentity
    point: Point


def load_inferencex(path: Path) -> list[PublishedPoint]:
    """Read one result file in either shape.

    Raises:
        BrokenFileError: missing, not JSON, or no InferenceX row; the message names the row and the field.
    """
    points = []
    for document in read_documents(path, objects_only=True):
        try:
            if not document.content.get("error"):
                points.append(_read_row(document.content))
        except (KeyError, TypeError, ValueError, InvalidInputError) as error:
            what = f"has no {error}" if isinstance(error, KeyError) else str(error)
            raise BrokenFileError(f"{document.source}: not an InferenceX result: {what}") from error
    return points


def _read_row(row: Mapping[str, Any]) -> PublishedPoint:
    nested = "metrics" in row
    metrics: Mapping[str, Any] = row["metrics"] if nested else row
    throughput, interactivity = _number(metrics, "tput_per_gpu"), _number(metrics, "median_intvty")
    identity = CurveIdentity(
        model=str(row["model"] if nested else row.get("infmax_model_prefix") or row["model"]),
        hardware=str(row["hardware"] if nested else row["hw"]).removesuffix("-sxm").lower(),
        precision=str(row["precision"]),
        parallelism=_parallelism(row, nested=nested),
        sequence=Workload(isl=int(row["isl"]), osl=int(row["osl"])).sequence,
        engine=str(row["framework"]),
        version=str(row.get("image") or "").rpartition(":")[2],
        mode={"none": "off"}.get(spec := str(row["spec_method" if nested else "spec_decoding"]), spec),
        date=str(row.get("date") or ""),
    )
    readings = {
        key: Estimate(float(metrics[name]) * factor)
        for name, (key, factor) in _READINGS.items()
        if isinstance(metrics.get(name), int | float)
    }
    point = Point(
        interactivity=Estimate(interactivity),
        throughput=Estimate(throughput),
        concurrency=int(row["conc"]),
        readings=readings,
    )
    return PublishedPoint(identity=identity, point=point)


def _parallelism(row: Mapping[str, Any], *, nested: bool) -> str:
    prefix = "decode_" if nested else ""
    degrees = {name: int(row.get(f"{prefix}{name}") or 1) for name in ("pp", "ep")}
    text = f"tp{int(row[f'{prefix}tp'])}" + "".join(f"{name}{count}" for name, count in degrees.items() if count > 1)
    attention = "-dpa" if _true(row.get(f"{prefix}dp_attention")) else ""
    return text + attention + ("-disagg" if _true(row.get("disagg")) else "")


def _true(value: object) -> bool:
    return value is True or str(value).lower() == "true"


def _number(metrics: Mapping[str, Any], name: str) -> float:
    value = float(metrics[name])
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} is {value:g}, expected a positive number")
    return value
