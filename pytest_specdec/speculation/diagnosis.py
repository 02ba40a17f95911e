"""Diagnosis of a change: the output rate as a product of measured factors.

With speculation a stream gains AL tokens (acceptance length) per verify step, so over any window

    output tokens/s = streams that decode x AL / step time,

an identity: streams that decode are those between first and last token (the others wait, or are prefilled), and step
time is what passes between two verify steps of a stream. Off has AL = 1. The changes of the factors multiply to the
change of the whole; what the long-run estimates leave over is shown as the rest.

Step time holds whatever stops a stream: verify steps proper, other requests' prefills, preemptions. The median gap
between chunks tells the two apart, for it sees the steps proper only. Where the time to the first token has moved with
the stalls, it is the prefills that take another time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import msgspec

from pytest_specdec.domain.estimate import Estimate
from pytest_specdec.domain.metric import METRICS

Cause = Literal["acceptance", "step time", "prefill", "stalls", "waiting", "several", "unexplained", "none"]

LEAST = 0.01
"""A factor that moved by less counts as unchanged."""
PREFILL = 0.2
"""Relative change of the TTFT from which stalls are prefills: a stall now and then does not move the median."""
_MAIN = 0.6
"""Share of all movement from which a factor is the cause."""
_WORDS: Mapping[Cause, str] = {
    "acceptance": "the drafter, not the kernels",
    "step time": "the steps themselves, not the drafter",
    "prefill": "prefills, which stop the streams of others and move the TTFT, not the steps and not the drafter",
    "stalls": "stalls between the steps (prefills of other requests, preemptions), not the steps and not the drafter",
    "waiting": "requests that wait for their first token (queue or prefill), not the drafter",
    "several": "several things at once",
    "unexplained": "none of the measured factors",
    "none": "nothing",
}
_FACTORS = {"acceptance_length": 1, "step_time_ms": -1, "decoding_streams": 1}
"""Metrics whose product, with these exponents, is the output rate."""
_ROUGH = {"acceptance_length": 1, "step_rate_s": 1}
"""The same from results that have no step time."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One factor of the output rate, before and after."""

    metric: str
    before: Estimate
    after: Estimate
    effect: Estimate
    """Relative change of the output rate that this factor alone makes: -0.123 is 12.3 % less."""

    @property
    def moved(self) -> bool:
        """True where the change exceeds its uncertainty and 1 %."""
        return abs(self.effect.value) > max(self.effect.half_width or 0.0, LEAST)


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of output throughput and its parts."""

    change: Estimate
    """Relative change of the output rate."""
    parts: tuple[Part, ...]
    rest: float
    """Unexplained rest, relative: (1 + change) = product of (1 + effect) x (1 + rest)."""
    cause: Cause
    sentence: str


def diagnose(before: Mapping[str, Estimate], after: Mapping[str, Estimate]) -> Diagnosis | None:
    """Explain the change of output throughput between two measurements of one cell; None where it was not measured."""
    key = "output_tok_s_gpu"
    if key not in before or key not in after:
        return None
    change = _effect(before[key], after[key], 1)
    parts = _parts(before, after)
    explained = math.prod(1 + part.effect.value for part in parts)
    rest = (1 + change.value) / explained - 1
    cause = _cause(change, parts, rest, before, after)
    return Diagnosis(change=change, parts=parts, rest=rest, cause=cause, sentence=_sentence(change, parts, rest, cause))


def _parts(before: Mapping[str, Estimate], after: Mapping[str, Estimate]) -> tuple[Part, ...]:
    def known(factors: Mapping[str, int]) -> dict[str, int]:
        return {k: e for k, e in factors.items() if k in before and k in after}

    found = known(_FACTORS)
    factors = found if "step_time_ms" in found and "decoding_streams" in found else known(_ROUGH)
    return tuple(
        Part(metric=k, before=before[k], after=after[k], effect=_effect(before[k], after[k], e))
        for k, e in factors.items()
    )


def _effect(before: Estimate, after: Estimate, exponent: int) -> Estimate:
    ratio = after / before if exponent > 0 else before / after
    return Estimate(ratio.value - 1, ratio.half_width)


def _cause(
    change: Estimate,
    parts: tuple[Part, ...],
    rest: float,
    before: Mapping[str, Estimate],
    after: Mapping[str, Estimate],
) -> Cause:
    """The one factor that made most of the change, in its direction."""
    if abs(change.value) <= max(change.half_width or 0.0, LEAST):
        return "none"
    sign = math.copysign(1, change.value)
    pushes = {part.metric: sign * math.log1p(part.effect.value) for part in parts if part.moved}
    pushes = {metric: push for metric, push in pushes.items() if push > 0}
    left = max(sign * math.log1p(rest), 0.0)
    whole = sum(pushes.values()) + left
    if not pushes or left > _MAIN * whole:
        return "unexplained"
    main = max(pushes, key=lambda metric: pushes[metric])
    if pushes[main] < _MAIN * whole:
        return "several"
    match main:
        case "acceptance_length":
            cause: Cause = "acceptance"
        case "decoding_streams":
            cause = "waiting"
        case "step_time_ms" if _only_stalls(before, after):
            cause = "prefill" if _prefills(before, after, sign) else "stalls"
        case _:
            cause = "step time"
    return cause


def _only_stalls(before: Mapping[str, Estimate], after: Mapping[str, Estimate]) -> bool:
    """True where the steps themselves took as long as before, so that the time was lost between them."""
    if "itl_p50_ms" not in before or "itl_p50_ms" not in after:
        return False
    whole = abs(math.log(after["step_time_ms"].value / before["step_time_ms"].value))
    proper = abs(math.log(after["itl_p50_ms"].value / before["itl_p50_ms"].value))
    return proper < (1 - _MAIN) * whole


def _prefills(before: Mapping[str, Estimate], after: Mapping[str, Estimate], sign: float) -> bool:
    """True where the TTFT moved in the direction of the whole change."""
    key = "ttft_p50_ms"
    if key not in before or key not in after:
        return False
    effect = _effect(before[key], after[key], -1)
    return sign * math.log1p(effect.value) > max(math.log1p(PREFILL), effect.half_width or 0.0)


def _sentence(change: Estimate, parts: tuple[Part, ...], rest: float, cause: Cause) -> str:
    if cause == "none":
        return f"{change.value:+.1%}: no change beyond the uncertainty"
    told = [_told(part) for part in sorted(parts, key=lambda part: -abs(math.log1p(part.effect.value)))]
    left = f"; {rest:+.1%} unexplained" if abs(rest) > LEAST else ""
    return f"{change.value:+.1%}: {', '.join(told)}{left}: {_WORDS[cause]}"


def _told(part: Part) -> str:
    info = METRICS[part.metric]
    if not part.moved:
        return f"{info.title} unchanged"
    digits = info.digits
    return f"{info.title} {part.before.value:.{digits}f} -> {part.after.value:.{digits}f} ({part.effect.value:+.1%})"
