"""Results of one tool -> a curve, and two such curves -> a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_specdec.domain.agreement import refuse_different
from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.domain.curve import Curve, CurveIdentity, Point
from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.price import Price
from pytest_specdec.domain.speculation_mode import Speculation
from pytest_specdec.errors import InvalidInputError
from pytest_specdec.importers.definitions import Meaning, refuse_other_tool
from pytest_specdec.importers.result import READINGS, PeerResult
from pytest_specdec.results.merge import mean

_SAME_LENGTH = 0.05
_NOTED_LENGTH = 0.01
_SAME_ROUNDS = 1.5
_FEW_ROUNDS = 5
_MUST_AGREE = {"backend": "backend", "token_source": "source of the token counts"}
_ONE_CURVE = {
    "draft_tokens": "draft tokens",
    "tool_version": "version of the tool",
    "settings": "setting of the server",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCurve:
    """A sweep by one tool."""

    results: tuple[PeerResult, ...]
    gpus: int
    curve: Curve

    @property
    def meaning(self) -> Meaning:
        """The tool's definitions."""
        return self.results[0].meaning

    @property
    def isl(self) -> float:
        """Input tokens per request, mean over the sweep."""
        return _per_request(self.results, "input_tokens")

    @property
    def osl(self) -> float:
        """Output tokens per request, mean over the sweep."""
        return _per_request(self.results, "output_tokens")

    @property
    def draft_tokens(self) -> int | None:
        """K; None where no file states it."""
        return self.results[0].draft_tokens

    def stated(self, name: str) -> str:
        """A field as the files state it, several values joined; empty where none does."""
        return ", ".join(sorted({str(value) for r in self.results if (value := getattr(r, name)) not in ("", None)}))


def join(results: Iterable[PeerResult], gpus: int | None = None) -> PeerCurve:
    """Join the runs of a sweep; runs at one concurrency are averaged, a duplicate counts once.

    Args:
        results: Runs of one tool on one engine.
        gpus: GPUs of the engine, where the files do not state them.

    Raises:
        NotComparableError: the runs differ in more than concurrency.
        InvalidInputError: there are none, or the number of GPUs is unknown or contradicted.
    """
    read = list(results)  # two files, such as a sweep's summary, may both have a run
    runs = [run for i, run in enumerate(read) if run not in read[:i]]
    if not runs:
        raise InvalidInputError("a curve needs at least one result")
    first = runs[0]
    for run in runs[1:]:
        _refuse_mixture(first, run)
    count = _gpus(runs, gpus)
    identity = _identity(runs)
    by_concurrency: dict[int, list[PeerResult]] = {}
    for run in runs:
        by_concurrency.setdefault(run.concurrency, []).append(run)
    points = [_point(group, count) for group in by_concurrency.values()]
    return PeerCurve(results=tuple(runs), gpus=count, curve=Curve(points, identity))


def compare_peers(old: PeerCurve, new: PeerCurve, price: Price | None = None) -> Comparison:
    """Compare two sweeps by one tool, the new against the old.

    Raises:
        NotComparableError: they come from two tools, or from two workloads; the message names the difference.
    """
    refuse_other_tool(old.meaning, new.meaning)
    fields = [
        *_fields(new.results[0], old.results[0], _MUST_AGREE),
        ("number of GPUs", new.gpus, old.gpus),
        *_lengths(new, old),
    ]
    refuse_different(fields, unknown=())
    # Lengths that agree within the bound are one workload, whatever their means round to.
    candidate = Curve(new.curve.points, replace(new.curve.identity, sequence=old.curve.identity.sequence))
    return Comparison(candidate, old.curve, price=price, names=_names(old, new), cautions=_cautions(old, new))


def speculation(draft_tokens: int | None) -> str:
    """Speculation as a file states it, in words."""
    if draft_tokens is None:
        return "not stated"
    return f"K={draft_tokens}" if draft_tokens else "Off"


def _refuse_mixture(one: PeerResult, other: PeerResult) -> None:
    fields = [
        ("tool", one.meaning.tool, other.meaning.tool),
        *_fields(one, other, _MUST_AGREE | _ONE_CURVE),
        *_lengths(one, other),
    ]
    refuse_different(fields, unknown=(), what=f"{one.source} and {other.source} are of two curves")


def _fields(one: PeerResult, other: PeerResult, names: Mapping[str, str]) -> list[tuple[str, object, object]]:
    return [(words, getattr(one, name), getattr(other, name)) for name, words in names.items()]


def _lengths(one: PeerResult | PeerCurve, other: PeerResult | PeerCurve) -> list[tuple[str, object, object]]:
    """Mean lengths that are not the same within 5 %."""
    pairs = (("mean ISL", one.isl, other.isl), ("mean OSL", one.osl, other.osl))
    return [(name, round(a, 1), round(b, 1)) for name, a, b in pairs if _apart(a, b) > _SAME_LENGTH]


def _identity(runs: Sequence[PeerResult]) -> CurveIdentity:
    """Identity that the runs share. A sweep may pass midnight, so different days are joined."""
    dates = sorted({run.date for run in runs} - {""})
    isl, osl = (_per_request(runs, name) for name in ("input_tokens", "output_tokens"))
    identity = CurveIdentity(sequence=f"{isl:.0f}x{osl:.0f}", date=" to ".join(dict.fromkeys(dates[:1] + dates[-1:])))
    mode = "" if runs[0].draft_tokens is None else Speculation(draft_tokens=runs[0].draft_tokens).mode
    for run in runs:
        identity = identity.merged(
            CurveIdentity(
                model=run.model,
                hardware=run.hardware,
                precision=run.precision,
                parallelism=run.parallelism,
                engine=run.engine,
                version=run.engine_version,
                mode=mode,
                workload=run.workload,
            )
        )
    return identity


def _gpus(runs: Sequence[PeerResult], given: int | None) -> int:
    stated = {count for count in (given, *(run.gpus for run in runs)) if count is not None}
    if len(stated) > 1:
        numbers = " and ".join(map(str, sorted(stated)))
        raise InvalidInputError(f"{runs[0].source}: number of GPUs is {numbers} (--gpus and the files disagree)")
    if not stated:
        raise InvalidInputError(f"{runs[0].source} does not state the number of GPUs: add --gpus N")
    return stated.pop()


def _per_request(runs: Sequence[PeerResult], name: str) -> float:
    return float(sum(getattr(run, name) for run in runs) / sum(run.completed for run in runs))


def _point(runs: Sequence[PeerResult], gpus: int) -> Point:
    readings = {
        key: mean([run.readings[key] for run in runs]) for key in READINGS if all(key in run.readings for run in runs)
    }
    tpot, total, output = (
        mean([Estimate(getattr(run, name)) for run in runs]) for name in ("tpot_p50_ms", "total_tok_s", "output_tok_s")
    )
    per_gpu = {"output_tok_s_gpu": output.scaled(1 / gpus), "tpot_p50_ms": tpot}
    if all(run.total_tok_s > run.output_tok_s for run in runs):
        per_gpu["input_tok_s_gpu"] = mean([Estimate((r.total_tok_s - r.output_tok_s) / gpus) for r in runs])
    return Point(
        interactivity=tpot.inverse(1000.0),
        throughput=total.scaled(1 / gpus),
        concurrency=runs[0].concurrency,
        readings=per_gpu | readings,
    )


def _names(old: PeerCurve, new: PeerCurve) -> tuple[str, str]:
    if old.draft_tokens == new.draft_tokens:
        return "new", "old"
    mine, theirs = (speculation(curve.draft_tokens) for curve in (new, old))
    return f"new ({mine})", f"old ({theirs})" if old.draft_tokens is not None else "old (no speculation seen)"


def _cautions(old: PeerCurve, new: PeerCurve) -> list[str]:
    found = []
    tool = old.meaning.tool
    mine, theirs = new.stated("tool_version"), old.stated("tool_version")
    if mine != theirs:
        found.append(
            f"version of {tool} differs, {mine or 'unknown'} against {theirs or 'unknown'}: its client may too"
        )
    elif not mine:
        found.append(f"the files do not state the version of {tool}: both sides are assumed to use the same client")
    for name, now, before in (("input", new.isl, old.isl), ("output", new.osl, old.osl)):
        if _apart(now, before) > _NOTED_LENGTH:
            found.append(f"{name} tokens per request are {now:.1f} against {before:.1f} on average")
    if not any(len(side.results) > len(side.curve.points) for side in (old, new)):
        found.append("one run per point: the variation between runs is unknown")
    found += [caution for name, side in (("old", old), ("new", new)) for caution in _few_rounds(name, side)]
    found += _other_rounds(old, new)
    found += [caution for side in (old, new) for caution in _run_cautions(side)]
    return list(dict.fromkeys(found))


def _run_cautions(side: PeerCurve) -> list[str]:
    """Cautions of the runs, one of many runs once."""
    sources: dict[str, list[str]] = {}
    for run in side.results:
        for caution in run.cautions():
            sources.setdefault(caution, []).append(run.source)
    return [
        f"{found[0]}{f' and {len(found) - 1} more' if len(found) > 1 else ''}: {caution}"
        for caution, found in sources.items()
    ]


def _few_rounds(name: str, side: PeerCurve) -> list[str]:
    few = {run.concurrency: run.rounds for run in side.results if run.rounds < _FEW_ROUNDS}
    if not few:
        return []
    rounds = ", ".join(f"{few[level]:.1f} at concurrency {level}" for level in sorted(few))
    return [f"{name}: few requests per stream ({rounds}): ramp-up and drain weigh in throughput"]


def _other_rounds(old: PeerCurve, new: PeerCurve) -> list[str]:
    """Cautions where one side sent more requests per stream, so that ramp-up and drain weigh differently."""
    shared = {r.concurrency: r.rounds for r in old.results}
    return [
        f"concurrency {run.concurrency}: {run.rounds:.1f} against {shared[run.concurrency]:.1f} requests per stream, "
        "so ramp-up and drain weigh differently"
        for run in new.results
        if run.concurrency in shared and _apart(run.rounds, shared[run.concurrency]) > _SAME_ROUNDS - 1
    ]


def _apart(one: float, other: float) -> float:
    """Relative distance, of the smaller."""
    return max(one, other) / min(one, other) - 1
