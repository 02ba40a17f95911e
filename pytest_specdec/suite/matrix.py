"""The matrix of a suite: marker arguments -> cells and subjects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from pytest_specdec.domain.axes import AXES
from pytest_specdec.domain.cell import (
    CLOSED,
    Arrivals,
    Cell,
    EngineSpec,
    Interview,
    Workload,
    cell_prefix,
    parse_sequence,
)
from pytest_specdec.domain.speculation_mode import LOSSLESS
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.suite.axes import ARGUMENTS, read_argument, read_axis
from pytest_specdec.workload.prompt_file import PromptFile
from pytest_specdec.workload.regime import Prompts, read_prompts, regimes_of

_LOADS = ("concurrency", "rate")
_PER_TIER = "{'smoke': [4], 'nightly': [8, 16]}"
_NO_CURVE = "curves and comparisons are over concurrency: at a request rate, test points with the fixture measurement"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveSubject:
    """One engine under one workload at several concurrencies or request rates."""

    engine: EngineSpec
    workload: Workload
    concurrencies: tuple[int, ...]
    rates: tuple[float, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Points of the curve."""
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
        """Points of both curves, those of the reference first."""
        return (*self.reference.cells, *self.candidate.cells)

    def __str__(self) -> str:
        return f"{self.candidate}-vs-{self.reference.engine.mode}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSubject:
    """The answers of an MTP engine against those of the same engine without speculation."""

    engine: EngineSpec
    thinking: bool | None = None

    @property
    def reference(self) -> EngineSpec:
        """The same engine without speculation."""
        return self.engine.off()

    @property
    def interviews(self) -> tuple[Interview, Interview]:
        """Interviews whose answers are compared, Off first."""
        return Interview(self.reference, self.thinking), Interview(self.engine, self.thinking)

    @property
    def details(self) -> str:
        """Parallelism and thinking, which the name leaves out."""
        thinking = {None: "by default", False: "off", True: "on"}[self.thinking]
        return f"{self.engine.parallelism}, thinking {thinking}"

    def __str__(self) -> str:
        return f"{self.engine}-says-what-off-says"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The cells that a suite asks for; built from the arguments of its `specdec` markers."""

    axes: Mapping[str, tuple[Any, ...]]
    """Values of every row of AXES."""
    arrivals: Arrivals = "poisson"
    prompts: Prompts | None = None
    """Prompts of a file or categories of text; None for generated text of exactly the asked length."""
    verification: str = LOSSLESS
    hardware: str = ""
    thinking: bool | None = None
    exact_lengths: bool = False
    ignore_eos: bool = True
    seed: int = 0

    @classmethod
    def from_markers(cls, markers: Iterable[Mapping[str, Any]], tier: str, folder: Path) -> Matrix:
        """Merge marker arguments, the closest marker first; a dictionary gives the values of an axis per tier.

        The name of a file of prompts is relative to `folder`, which is the suite's.

        Raises:
            InvalidInputError: an unknown, missing or impossible argument; the message names it and what is allowed.
        """
        merged = _merged(markers)
        axes = {name: axis.default or () for name, axis in AXES.items()}
        axes |= {name: read_axis(name, value, tier) for name, value in merged.items() if name in AXES}
        settings = {name: read_argument(name, value) for name, value in merged.items() if name not in AXES}
        if settings.get("prompts") is not None:
            settings["prompts"] = read_prompts(settings["prompts"], folder)
        matrix = cls(axes=axes, **settings)
        matrix.curves()  # an impossible value is refused here, not in the middle of a run
        return matrix

    def curves(self) -> list[CurveSubject]:
        """Every engine under every workload, in the order of engines."""
        return [
            CurveSubject(
                engine=engine, workload=workload, concurrencies=self.axes["concurrency"], rates=self.axes["rate"]
            )
            for engine, workload in product(dict.fromkeys(self._engines()), [*self._workloads()])
        ]

    def _engines(self) -> Iterator[EngineSpec]:
        for values in self._product("engine"):
            engine = EngineSpec(**values, verification=self.verification)
            speculation = engine.speculation
            if not speculation.active:
                engine = engine.off()  # which has no acceptance and no verification
            elif speculation.pinned_length is not None and speculation.pinned_length > speculation.draft_tokens + 1:
                raise InvalidInputError(
                    f"acceptance {speculation.acceptance} of the specdec marker cannot be reached: with "
                    f"{speculation.draft_tokens} draft tokens a step gives at most {speculation.draft_tokens + 1}"
                )
            yield engine

    def _workloads(self) -> Iterator[Workload]:
        for values in self._product("workload"):
            sequence = values.pop("sequence")
            for prompts in regimes_of(self.prompts, sequence):
                yield parse_sequence(
                    sequence,
                    shortest=1.0 if self.exact_lengths else 0.8,
                    thinking=self.thinking,
                    ignore_eos=self.ignore_eos,
                    seed=self.seed,
                    arrivals=self.arrivals if self.axes["rate"] else CLOSED,
                    prompts=prompts,
                    **values,
                )

    def _product(self, part: str) -> Iterator[dict[str, Any]]:
        """Fields of each engine or workload."""
        names = [name for name, axis in AXES.items() if axis.part == part and self.axes[name]]
        for values in product(*(self.axes[name] for name in names)):
            yield dict(zip(names, values, strict=True))

    def curves_over_concurrency(self) -> list[CurveSubject]:
        """Every curve, which may be interpolated between its points.

        Raises:
            InvalidInputError: the loads are request rates.
        """
        if self.axes["rate"]:
            raise InvalidInputError(_NO_CURVE)
        return self.curves()

    def cells(self) -> list[Cell]:
        """Every point of every curve."""
        return [cell for curve in self.curves() for cell in curve.cells]

    def comparisons(self) -> list[ComparisonSubject]:
        """Each MTP curve with the Off curve of the same workload.

        Raises:
            InvalidInputError: the matrix has no MTP mode.
        """
        candidates = [curve for curve in self.curves_over_concurrency() if curve.engine.speculation.active]
        if not candidates:
            raise InvalidInputError("a comparison needs an MTP mode: give the specdec marker mtp=[0, 3] or the like")
        return [
            ComparisonSubject(candidate=curve, reference=replace(curve, engine=curve.engine.off()))
            for curve in candidates
        ]

    def outputs(self) -> list[OutputSubject]:
        """Each MTP engine, whose answers are compared with those of Off.

        Raises:
            InvalidInputError: there is no MTP mode, or its acceptance is pinned.
        """
        engines = dict.fromkeys(curve.engine for curve in self.curves() if curve.engine.speculation.active)
        if not engines:
            raise InvalidInputError("outputs need an MTP mode: give the specdec marker mtp=3 or the like")
        pinned = [engine for engine in engines if engine.speculation.pinned_length is not None]
        if pinned:
            raise InvalidInputError(
                f"{pinned[0]}: with a pinned acceptance the engine accepts drafts at random, so its text is not "
                "the model's; outputs are checked with acceptance='natural'"
            )
        return [OutputSubject(engine=engine, thinking=self.thinking) for engine in engines]

    @property
    def prompt_file(self) -> PromptFile | None:
        """File of prompts that the suite names."""
        return self.prompts if isinstance(self.prompts, PromptFile) else None


def marker_line() -> str:
    """Signature and help of the marker, for `pytest --markers`."""
    names = [name for name, axis in AXES.items() if axis.default is None]
    names += [f"{name}={_default(axis.default)}" for name, axis in AXES.items() if axis.default is not None]
    names += [f"{field.name}={field.default!r}" for field in fields(Matrix) if field.name in ARGUMENTS]
    helps = {name: axis.help for name, axis in AXES.items()} | {name: words for name, (_, words) in ARGUMENTS.items()}
    return "\n    ".join(
        [
            f"specdec({', '.join(names)}): the cells to measure, each of them a test.",
            f"The axes {', '.join(AXES)} take one value, a list, or lists per tier such as {_PER_TIER}.",
            "A tier includes those before it. A marker closer to the test overrides single arguments.",
            *(f"{name}: {text}." for name, text in helps.items()),
        ]
    )


def _default(values: tuple[Any, ...]) -> str:
    return repr(values[0]) if values else "None"


def _merged(markers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    known = [*AXES, *ARGUMENTS]
    merged: dict[str, Any] = {}
    for marker in markers:
        # The closest marker decides on the load: its rate takes the place of a concurrency farther away.
        loaded = any(load in merged for load in _LOADS)
        for name, value in marker.items():
            if name not in known:
                raise InvalidInputError(f"unknown argument {name!r} of the specdec marker; known: {', '.join(known)}")
            if not (loaded and name in _LOADS):
                merged.setdefault(name, value)
    if all(load in merged for load in _LOADS):
        raise InvalidInputError("the specdec marker takes concurrency or rate, not both")
    required = [name for name, axis in AXES.items() if axis.default is None and axis.part != "load"]
    missing = [name for name in required if name not in merged]
    missing += [] if any(load in merged for load in _LOADS) else ["concurrency (or rate)"]
    if missing:
        raise InvalidInputError(f"the specdec marker needs {' and '.join(missing)}")
    return merged
