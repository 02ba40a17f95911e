"""The measurement of one cell; the type that files, gates, curves and reports share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import msgspec

from pytest_specdec.domain.acceptance import Acceptance
from pytest_specdec.domain.cell import Cell, EngineSpec, Workload, workload_words
from pytest_specdec.domain.client_health import ClientHealth, client_limited
from pytest_specdec.domain.curve import Curve, CurveIdentity, Point
from pytest_specdec.domain.environment import UNKNOWN, Environment
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.price import Price
from pytest_specdec.domain.token_check import TokenTruth
from pytest_specdec.domain.traffic import RequestCounts
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.speculation.health import Finding
from pytest_specdec.speculation.prompt_acceptance import PromptAcceptance
from pytest_specdec.speculation.signs import Signs
from pytest_specdec.telemetry.readings import GpuTelemetry

ESTIMATOR_VERSION = "2"
"""Bump when the same traffic would give other values: measurements of another version are not comparable."""
STORED = "stored baseline, not measured in this run"
"""Note of a measurement that was read from a baseline."""


class ServerTtft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mean TTFT of all requests of a point (the ramp too), once by the server's histogram and once by our clock."""

    server_mean_ms: float
    client_mean_ms: float


class Certainty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Relative half-widths that the window reached for throughput and TPOT."""

    asked: float
    reached: float | None
    fixed: bool
    """The window had a fixed length, whatever the precision."""
    drift: float
    """Change of output throughput from the window's beginning to its end; 0 where it may be chance."""
    warm: bool
    """Step time was level before the window."""

    def notes(self, window_s: float) -> Iterator[str]:
        """Yield remarks for the report."""
        if not self.warm:
            yield "not warm: step time was still changing when the window opened"
        if self.drift:
            yield f"not steady: output throughput drifted by {self.drift:+.1%} over the window"
        if not self.fixed and (self.reached is None or self.reached > self.asked):
            reached = "unknown" if self.reached is None else f"±{self.reached:.1%}"
            yield f"precision is {reached} after {window_s:.0f} s, ±{self.asked:.1%} was asked"


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One cell, measured once. A metric that was not measured is absent, never 0."""

    cell: Cell
    environment: Environment
    price: Price
    window_s: float
    requests: RequestCounts
    values: dict[str, Estimate]
    """By key of `metric.METRICS`."""
    batches_s: tuple[float, ...] = ()
    """Durations of twenty batches of equally many output tokens: the scatter within the window."""
    acceptance: Acceptance | None = None
    by_prompt: PromptAcceptance | None = None
    """Acceptance by prompt, where the engine counts by request; repeats of a cell are paired by it."""
    tokens: TokenTruth | None = None
    """Usage against the server's own counters."""
    server_ttft: ServerTtft | None = None
    signs: Signs | None = None
    """Signs of the health of speculation."""
    findings: tuple[Finding, ...] = ()
    """Problems of the point by itself, whatever its baseline."""
    client: ClientHealth | None = None
    """Health of the client; beyond its bounds the numbers are not the server's, and the gate does not judge."""
    certainty: Certainty | None = None
    gpu: GpuTelemetry | None = None
    """Readings of the GPUs in the window, where telemetry is available."""
    slo: str | None = None
    """Bounds of the goodput."""
    measured_at: str = ""
    """Start of the point, ISO 8601 with time zone."""
    order: int = 0
    """Position in the randomised order of the run's points."""
    estimator: str = ESTIMATOR_VERSION
    session: str = ""
    """Server start: the second one of an invocation is `20261124-231333.2`."""
    notes: tuple[str, ...] = ()
    """Remarks for the report: queue-limited, failed requests, a lagging client."""

    @property
    def why_no_baseline(self) -> str:
        """Reason not to store it as a baseline; empty where there is none."""
        broken = [finding.words for finding in self.findings if finding.severity == "broken"]
        limited = [f"client-limited: {self.client_limited}"] if self.client_limited else []
        return "; ".join(broken + limited)

    @property
    def client_limited(self) -> str:
        """Resource that limited the client; empty when the client kept up."""
        return "" if self.client is None else client_limited(self.client)

    def value(self, key: str) -> Estimate:
        """Return a metric.

        Raises:
            InvalidInputError: the metric was not measured; the message lists what was.
        """
        if key not in self.values:
            raise InvalidInputError(f"{self.cell}: {key} was not measured; measured: {', '.join(self.values)}")
        return self.values[key]

    @property
    def interactivity(self) -> Estimate:
        """1 / median TPOT, tok/s/user."""
        return self.value("interactivity_tok_s_user")

    @property
    def throughput(self) -> Estimate:
        """Total tok/s/GPU."""
        return self.value("total_tok_s_gpu")

    @property
    def acceptance_length(self) -> Estimate:
        """Tokens per verify step, the bonus token included."""
        return self.value("acceptance_length")

    @property
    def curve_key(self) -> tuple[EngineSpec, Workload]:
        """Measurements with one key lie on one curve."""
        return self.cell.engine, self.cell.workload

    def point(self) -> Point:
        """Return this measurement as a point of a curve."""
        readings = {k: v for k, v in self.values.items() if k not in ("interactivity_tok_s_user", "total_tok_s_gpu")}
        return Point(
            interactivity=self.interactivity,
            throughput=self.throughput,
            concurrency=self.cell.concurrency,
            readings=readings,
        )

    def identity(self) -> CurveIdentity:
        """Return the identity of the curve that this measurement lies on."""
        engine, workload, environment = self.cell.engine, self.cell.workload, self.environment
        return CurveIdentity(
            model=engine.model,
            hardware=_known(environment.hardware),
            precision=engine.precision,
            parallelism=engine.parallelism,
            sequence=workload.sequence,
            engine=_known(environment.engine),
            version=_known(environment.version),
            mode=engine.mode,
            workload=workload_words(workload),
            date=self.measured_at[:10],
        )


def curve_of(measurements: Iterable[Measurement]) -> Curve:
    """Join measurements of one engine and workload into a curve.

    Raises:
        NotComparableError: they differ in engine, version, hardware or workload.
        InvalidInputError: there are none.
    """
    found = list(measurements)
    if not found:
        raise InvalidInputError("a curve needs at least one measured point")
    identity = found[0].identity()
    dates = sorted({m.measured_at[:10] for m in found})
    for measurement in found[1:]:
        # A run may pass midnight: its points are of one curve all the same.
        identity = identity.merged(msgspec.structs.replace(measurement, measured_at=identity.date).identity())
    return Curve((m.point() for m in found), _dated(identity, dates))


def _dated(identity: CurveIdentity, dates: list[str]) -> CurveIdentity:
    return replace(identity, date=dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}")


def _known(fact: str) -> str:
    return "" if fact == UNKNOWN else fact
