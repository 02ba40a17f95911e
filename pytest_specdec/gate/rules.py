"""The gate's rules by name: one row here and one module with a `judge` each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_specdec.gate.ruling import Judge


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRule:
    """A way to come from measurements and baselines to verdicts."""

    name: str
    help: str
    """One sentence for `--specdec-gate`."""
    module: str
    """Holds `judge`; imported when it judges, for a rule needs scipy and most invocations need no rule."""
    confirms: bool = True
    """False: the rule judges what was measured and asks for nothing more."""

    @property
    def judge(self) -> Judge:
        """The rule itself."""
        judge: Judge = import_module(self.module).judge
        return judge


_TABLE = (
    GateRule(
        name="suite",
        help="bound the chance of a false alarm over all cells and report inconclusive where the data do not decide",
        module="pytest_specdec.gate.suite",
    ),
    GateRule(
        name="fixed",
        help="compare means with a fixed margin, and report how often that is wrong",
        module="pytest_specdec.gate.fixed",
        confirms=False,
    ),
)

RULES: dict[str, GateRule] = {rule.name: rule for rule in _TABLE}
"""The first one is the default."""
