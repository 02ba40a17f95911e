"""The axes of a suite: marker arguments -> cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

from pytest_specdec.domain.cell import (
    CLOSED,
    LOSSLESS,
    NATURAL,
    Arrivals,
    Cell,
    EngineSpec,
    Interview,
    Workload,
    cell_prefix,
    parse_parallelism,
    parse_sequence,
)
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.suite.axes import AXES, TIERS
from pytest_specdec.workload.prompt_file import PromptFile
from pytest_specdec.workload.regimes import Prompts, read_prompts, regimes_of

_LOADS = ("concurrency", "rate")
_NO_CURVE = "curves and comparisons are over concurrency: at a rate of requests, test points by the fixture measurement"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveSubject:
    """One engine under one workload at several concurrencies, or at several rates of requests."""

    engine: EngineSpec
    workload: Workload
    concurrencies: tuple[int, ...]
    rates: tuple[float, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The points of the curve."""
        closed = (Cell(self.engine, self.workload, concurrency) for concurrency in self.concurrencies)
        return (*closed, *(Cell(self.engine, self.workload, 0, rate) for rate in self.rates))

    def __str__(self) -> str:
        return cell_prefix(self.engine, self.workload)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSubject:
    """MTP against Off of the same model, precision, parallelism and workload."""

    candidate: CurveSubject
    reference: CurveSubject

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The points of both curves."""
        return (*self.reference.cells, *self.candidate.cells)

    def __str__(self) -> str:
        return f"{self.candidate}-vs-{self.reference.engine.mode}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSubject:
    """What an MTP engine says against what the same engine says without speculation."""

    engine: EngineSpec
    thinking: bool | None = None

    @property
    def reference(self) -> EngineSpec:
        """The same without speculation."""
        return self.engine.off()

    @property
    def interviews(self) -> tuple[Interview, Interview]:
        """Whose answers are compared: Off's, then MTP's."""
        return Interview(self.reference, self.thinking), Interview(self.engine, self.thinking)

    @property
    def details(self) -> str:
        """What its name does not say."""
        thinking = {None: "by default", False: "off", True: "on"}[self.thinking]
        return f"{self.engine.parallelism}, thinking {thinking}"

    def __str__(self) -> str:
        return f"{self.engine}-says-what-off-says"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """What a suite asks for; built from the arguments of its `specdec` markers."""

    model: tuple[str, ...]
    precision: tuple[str, ...]
    sequence: tuple[str, ...]
    concurrency: tuple[int, ...] = ()
    """Requests in flight of a closed loop."""
    rate: tuple[float, ...] = ()
    """Requests per second that come by the clock; instead of concurrency."""
    arrivals: Arrivals = "poisson"
    """How requests come at a rate: `poisson`, or `constant`."""
    prompts: Prompts | None = None
    """Prompts of a file, for `sequence="file/256"`, or categories of text such as `text/code`, for sequences such as
    `medium/256`; None for generated text of exactly the asked length.
    """
    mtp: tuple[int, ...] = (0,)
    acceptance: tuple[str, ...] = (NATURAL,)
    """`natural`, or acceptance lengths to pin the engine's synthetic mode to; Off has none."""
    parallelism: tuple[str, ...] = ("tp8",)
    verification: str = LOSSLESS
    """A lossy verification mode that the suite means to measure, by the engine's name; refused unless named."""
    hardware: str = ""
    """GPU that the suite is meant for, such as h200; declared for endpoints that cannot tell."""
    thinking: bool | None = None
    exact_lengths: bool = False
    ignore_eos: bool = True
    seed: int = 0

    @classmethod
    def from_markers(cls, markers: Iterable[Mapping[str, Any]], tier: str, folder: Path) -> Matrix:
        """Merge marker arguments, the closest marker first; a dictionary gives an axis per tier.

        A file of prompts is looked for in `folder`, which is the suite's.

        Raises:
            InvalidInputError: an unknown, missing or impossible argument; the message names it and what is allowed.
        """
        known = [field.name for field in fields(cls)]
        merged: dict[str, Any] = {}
        for marker in markers:
            # The closest marker says how load comes: its rate takes the place of a concurrency farther away.
            loaded = any(load in merged for load in _LOADS)
            for name, value in marker.items():
                if name not in known:
                    raise InvalidInputError(
                        f"unknown argument {name!r} of the specdec marker; known: {', '.join(known)}"
                    )
                if not (loaded and name in _LOADS):
                    merged.setdefault(name, value)
        if all(load in merged for load in _LOADS):
            raise InvalidInputError("the specdec marker takes concurrency or rate, not both")
        missing = [name for name in ("model", "precision", "sequence") if name not in merged]
        missing += [] if any(load in merged for load in _LOADS) else ["concurrency (or rate)"]
        if missing:
            raise InvalidInputError(f"the specdec marker needs {' and '.join(missing)}")
        values: dict[str, Any] = {
            name: _axis(name, value, tier) if name in AXES else value for name, value in merged.items()
        }
        if values.get("prompts") is not None:
            values["prompts"] = read_prompts(values["prompts"], folder)
        for name, (allowed, words) in _PLAIN.items():
            if name in values and not allowed(values[name]):
                raise InvalidInputError(f"{name} of the specdec marker must be {words}: {values[name]!r}")
        matrix = cls(**values)
        matrix.curves()  # an impossible value is refused here, not in the middle of a run
        return matrix

    def curves(self) -> list[CurveSubject]:
        """Every engine under every workload, in the order of engines."""
        workloads = [
            parse_sequence(
                sequence,
                shortest=1.0 if self.exact_lengths else 0.8,
                thinking=self.thinking,
                ignore_eos=self.ignore_eos,
                seed=self.seed,
                arrivals=self.arrivals if self.rate else CLOSED,
                prompts=prompts,
            )
            for sequence in self.sequence
            for prompts in regimes_of(self.prompts, sequence)
        ]
        axes = product(self.model, self.precision, self.parallelism, self.mtp, self.acceptance)
        engines = dict.fromkeys(
            EngineSpec(
                model=model,
                precision=precision,
                parallelism=parse_parallelism(parallelism),
                mtp=mtp,
                acceptance=_reachable(acceptance, mtp) if mtp else NATURAL,
                verification=self.verification if mtp else LOSSLESS,
            )
            for model, precision, parallelism, mtp, acceptance in axes
        )
        return [
            CurveSubject(engine=engine, workload=workload, concurrencies=self.concurrency, rates=self.rate)
            for engine, workload in product(engines, workloads)
        ]

    def curves_over_concurrency(self) -> list[CurveSubject]:
        """Every curve that may be read between its points.

        Raises:
            InvalidInputError: requests come at a rate.
        """
        if self.rate:
            raise InvalidInputError(_NO_CURVE)
        return self.curves()

    def cells(self) -> list[Cell]:
        """Every point of every curve."""
        return [cell for curve in self.curves() for cell in curve.cells]

    def comparisons(self) -> list[ComparisonSubject]:
        """Each MTP curve with the Off curve that it may be compared with.

        Raises:
            InvalidInputError: the matrix has no MTP mode.
        """
        if not any(self.mtp):
            raise InvalidInputError("a comparison needs an MTP mode: give the specdec marker mtp=[0, 3] or the like")
        curves = self.curves_over_concurrency()
        reference = [
            CurveSubject(
                engine=curve.engine.off(),
                workload=curve.workload,
                concurrencies=curve.concurrencies,
            )
            for curve in curves
        ]
        return [
            ComparisonSubject(candidate=candidate, reference=off)
            for candidate, off in zip(curves, reference, strict=True)
            if candidate.engine.mtp
        ]

    def outputs(self) -> list[OutputSubject]:
        """Each MTP engine whose answers are to be compared with Off's.

        Raises:
            InvalidInputError: there is no MTP mode, or its acceptance is pinned.
        """
        engines = dict.fromkeys(curve.engine for curve in self.curves() if curve.engine.mtp)
        if not engines:
            raise InvalidInputError("outputs need an MTP mode: give the specdec marker mtp=3 or the like")
        pinned = [engine for engine in engines if engine.pinned_length is not None]
        if pinned:
            raise InvalidInputError(
                f"{pinned[0]}: with a pinned acceptance the engine accepts drafts by lot, so its text is not the "
                "model's; outputs are checked with acceptance='natural'"
            )
        return [OutputSubject(engine=engine, thinking=self.thinking) for engine in engines]

    @property
    def prompt_file(self) -> PromptFile | None:
        """The file that the suite brings."""
        return self.prompts if isinstance(self.prompts, PromptFile) else None


def engine_axes(engine: EngineSpec) -> dict[str, str]:
    """Value of each axis of an engine, as `--specdec-only` compares it."""
    return {
        "model": engine.model,
        "precision": engine.precision,
        "parallelism": engine.parallelism,
        "mtp": str(engine.mtp),
        "acceptance": engine.acceptance,
    }


def cell_axes(cell: Cell) -> dict[str, str]:
    """Value of each axis of a cell, as `--specdec-only` compares it."""
    return engine_axes(cell.engine) | {
        "sequence": cell.workload.sequence,
        "concurrency": str(cell.concurrency),
        "rate": f"{cell.rate:g}",
    }


def _listed(name: str, value: object) -> tuple[Any, ...]:
    """One value or several -> several, each of them once."""
    values = tuple(value) if isinstance(value, Sequence | set | range) and not isinstance(value, str) else (value,)
    if not values:
        raise InvalidInputError(f"{name} of the specdec marker is empty: the matrix has no cells")
    if any(isinstance(v, Mapping | set) or (isinstance(v, Sequence) and not isinstance(v, str)) for v in values):
        raise InvalidInputError(f"{name} of the specdec marker takes one value or a flat list: {list(values)}")
    if len(set(values)) < len(values):
        raise InvalidInputError(f"{name} of the specdec marker names a value twice: {list(values)}")
    return values


def _axis(name: str, value: object, tier: str) -> tuple[Any, ...]:
    values = _listed(name, _of_tier(name, value, tier) if isinstance(value, Mapping) else value)
    if name == "acceptance":
        values = tuple(_acceptance(value) for value in values)
    elif name in ("mtp", "concurrency"):
        lowest = 0 if name == "mtp" else 1
        if not all(isinstance(v, int) and not isinstance(v, bool) and v >= lowest for v in values):
            raise InvalidInputError(f"{name} of the specdec marker must be whole numbers from {lowest}: {list(values)}")
    elif name == "rate":
        if not all(isinstance(v, int | float) and not isinstance(v, bool) and 0 < v < math.inf for v in values):
            raise InvalidInputError(f"rate of the specdec marker must be positive requests per second: {list(values)}")
        values = tuple(float(value) for value in values)
    elif not all(isinstance(v, str) and v for v in values):
        raise InvalidInputError(f"{name} of the specdec marker must be text: {list(values)}")
    return values


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_PLAIN: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "arrivals": (lambda value: value in ("poisson", "constant"), "'poisson' or 'constant'"),
    "thinking": (lambda value: value is None or _is_flag(value), "True, False or None"),
    "exact_lengths": (_is_flag, "True or False"),
    "ignore_eos": (_is_flag, "True or False"),
    "seed": (lambda value: isinstance(value, int) and not _is_flag(value) and value >= 0, "a whole number from 0"),
    "verification": (_is_text, "text"),
    "hardware": (_is_text, "text"),
}
"""Arguments that are no axes: what they may be, and that in words."""


def _of_tier(name: str, per_tier: Mapping[Any, Any], tier: str) -> object:
    unknown = [key for key in per_tier if key not in TIERS]
    if unknown:
        raise InvalidInputError(f"{name} of the specdec marker: unknown tier {unknown[0]!r}; tiers: {', '.join(TIERS)}")
    for candidate in reversed(TIERS[: TIERS.index(tier) + 1]):
        if candidate in per_tier:
            return per_tier[candidate]
    raise InvalidInputError(
        f"{name} of the specdec marker has no values for tier {tier!r}; it has {', '.join(per_tier)}"
    )


def _acceptance(value: object) -> str:
    if value == NATURAL:
        return NATURAL
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
        raise InvalidInputError(
            f"acceptance of the specdec marker must be {NATURAL!r} or an acceptance length from 1: {value!r}"
        )
    return f"{value:g}"


def _reachable(acceptance: str, mtp: int) -> str:
    if acceptance != NATURAL and float(acceptance) > mtp + 1:
        raise InvalidInputError(
            f"acceptance {acceptance} of the specdec marker cannot be reached: with {mtp} draft tokens a step gives at "
            f"most {mtp + 1}"
        )
    return acceptance
