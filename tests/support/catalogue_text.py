"""The regression catalogue against the checks of what is said: an engine with a fault against Off."""

from __future__ import annotations

import re

from catalogue import Caught
from spoken import judged

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.outputs.checks import Outputs
from pytest_specdec.outputs.verdict import OutputVerdict
from pytest_specdec.simulator.faults.fault import Fault

_MOST_TELLING = ("canaries", "structured output", "losslessness", "task accuracy")
"""What a canary quotes says more than that texts differ."""
_CAUSE = re.compile(r"(.+?): \d+ of ")


def catch(fault: Fault, seed: int) -> Caught:
    """Ask an engine with a fault, and judge its answers; the seed is that of the questions."""
    return caught(judged(fault, seed))


def caught(outputs: Outputs) -> Caught:
    """Which checks fail, and what the most telling of them names."""
    failed = {v.check: v for v in outputs.verdicts if v.outcome is Outcome.FAILED}
    first = next((failed[check] for check in _MOST_TELLING if check in failed), None)
    return Caught(tuple(failed), _cause(first) if first else "", failed=bool(failed))


def alarms(outputs: Outputs) -> list[str]:
    """Checks that do not pass."""
    return [v.check for v in outputs.verdicts if v.outcome is not Outcome.PASS]


def _cause(verdict: OutputVerdict) -> str:
    found = _CAUSE.match(verdict.reasons[0])
    return found[1] if found else verdict.reasons[0]
