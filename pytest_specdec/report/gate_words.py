"""Error rates and findings of the gate over a whole suite, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.results.decision import CommonShift, Evidence, FixedDecision, SuiteDecision

_NOISE = {
    "measured": "noise from the baseline's own sessions",
    "selftest": "noise from a selftest on this hardware",
    "assumed": "noise assumed: the baseline has too few sessions (--specdec-update=all measures 5)",
}


def gate_sentences(decision: SuiteDecision, source: str) -> Iterator[str]:
    """The promise, the loss that a green suite may hide, metrics too noisy to gate, and shifts common to all cells.

    `source`: origin of the noise, the weakest of its parts.
    """
    judged = [d for d in decision.decisions if d.evidence is not Evidence.OWN]
    cells = len({d.cell for d in judged})
    yield (
        f"{decision.outcome.value.upper()}: {len(judged)} metrics of {cells} cells under one promise: at most "
        f"{decision.alpha:.2g} chance of a false FAIL in the whole suite; {_NOISE.get(source, source)}"
    )
    missable = decision.largest_missable_loss
    if missable is not None:
        green = [d for d in judged if d.outcome is Outcome.PASS and d.high is not None and not d.advisory]
        worst = max(green, key=lambda d: d.high or 0)
        yield (
            f"what passed could hide a loss of up to {max(missable, 0):.1%} ({METRICS[worst.metric].title} of "
            f"{worst.cell}, one-sided 2.5 %); a loss of exactly the margin is missed in at most "
            f"{decision.miss_at_margin:.1%} of suites"
        )
    if noisy := decision.not_gateable:
        least = max(noisy, key=lambda d: d.detectable or 0)
        yield (
            f"too noisy to gate: {len(noisy)} of {len(judged)}, such as {METRICS[least.metric].title} of {least.cell}, "
            f"minimum detectable loss {least.detectable or 0:.0%}"
        )
    if decision.noisy_runner:
        factor = max(decision.runner_factor.values())
        yield f"the runner was {factor:.1f} times as noisy as for the baseline: check the machine for other load"
    yield from (sentence for shift in decision.common if (sentence := _common(shift)))
    if decision.stopped:
        yield f"measuring ended before everything was decided: {decision.stopped}"


def fixed_sentence(fixed: FixedDecision) -> str:
    """False-alarm and detection rate of a fixed margin on this noise."""
    return (
        f"judged by a fixed margin of {fixed.limit:.0%}: on this noise it fails {fixed.false_alarm:.0%} of unchanged "
        f"suites and finds a loss equal to the margin in {fixed.detection:.0%} (--specdec-gate=suite bounds false "
        "alarms instead)"
    )


def _common(shift: CommonShift) -> str:
    name = METRICS[shift.metric].title
    if shift.whose == "nobody" or abs(shift.seen) <= shift.threshold:
        return ""
    whose = {
        "machine": "the machine's part, by pairs with the reference engine; it was subtracted",
        "engine": "the engine's part, by pairs with the reference engine",
        "both": "partly the machine's, partly the engine's, by pairs with the reference engine",
    }.get(shift.whose, "cause unknown without a reference engine (--specdec-reference-endpoint URL)")
    return f"{name} of all cells moved by {-shift.seen:+.1%} together: {whose}"
