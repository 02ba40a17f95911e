"""A service level objective: bounds on what one request's user may notice."""

from __future__ import annotations

import math
import re

import msgspec

from pytest_specdec.errors import InvalidInputError

_NAMES = {"ttft": "ttft_ms", "tpot": "tpot_ms", "e2e": "e2e_ms", "e2el": "e2e_ms"}
"""`e2el` is vLLM's word."""
_BOUND = re.compile(r"(\w+)[=:](\d+(?:\.\d*)?(?:e[+-]?\d+)?)(ms|s)?")
_FORM = "write it as ttft=500,tpot=50,e2e=30s (ms unless a bound ends in s; each may be left out)"


class Slo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Bounds that a good request meets, all of them."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    e2e_ms: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be met or cannot be missed.

        Raises:
            InvalidInputError: there is no bound, or one that is not a positive number.
        """
        if not self.bounds:
            raise InvalidInputError(f"an SLO needs at least one bound: {_FORM}")
        for name, bound in self.bounds.items():
            if not (math.isfinite(bound) and bound > 0):
                raise InvalidInputError(f"the SLO's bound for {name} must be positive and finite, not {bound:g} ms")

    @property
    def bounds(self) -> dict[str, float]:
        """Milliseconds by `ttft`, `tpot`, `e2e`; those that are set."""
        named = {"ttft": self.ttft_ms, "tpot": self.tpot_ms, "e2e": self.e2e_ms}
        return {name: bound for name, bound in named.items() if bound is not None}

    @property
    def words(self) -> str:
        """For people: `TTFT <= 500 ms and TPOT <= 50 ms`."""
        return " and ".join(f"{name.upper()} <= {_number(bound)} ms" for name, bound in self.bounds.items())

    def __str__(self) -> str:
        return ",".join(f"{name}={_number(bound)}" for name, bound in self.bounds.items())


def parse_slo(text: str) -> Slo:
    """Parse `ttft=500,tpot=50` (milliseconds), `e2e=30s`, or vLLM's `ttft:500 tpot:50 e2el:30000`.

    Raises:
        InvalidInputError: a bound is of another form, unknown, twice, or not positive; the message shows the form.
    """
    bounds: dict[str, float] = {}
    for part in re.split(r"\s*,\s*|\s+", re.sub(r"\s*([=:])\s*", r"\1", text.strip().lower())):
        match = _BOUND.fullmatch(part)
        if match is None:
            raise InvalidInputError(f"SLO {text!r}: {part!r} is not a bound; {_FORM}")
        name, number, unit = match.groups()
        if name not in _NAMES:
            raise InvalidInputError(f"SLO {text!r}: no bound is called {name!r}; known are ttft, tpot and e2e")
        if _NAMES[name] in bounds:
            raise InvalidInputError(f"SLO {text!r} bounds {name} twice")
        bounds[_NAMES[name]] = float(number) * (1000 if unit == "s" else 1)
    return Slo(**bounds)


def _number(bound: float) -> str:
    """Shortest text that reads back as the same number."""
    return repr(float(bound)).removesuffix(".0")
