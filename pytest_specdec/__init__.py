"""Gate LLM engine upgrades on the real gain of multi-token prediction.

The names below are the public API: suites, conftests and plugins import them from here, and they stay. Each is loaded
when it is used, so that `import pytest_specdec` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pytest_specdec.version import __version__

if TYPE_CHECKING:
    from pytest_specdec.domain.cell import Cell, EngineSpec, Workload
    from pytest_specdec.domain.comparison import Comparison
    from pytest_specdec.domain.curve import Curve
    from pytest_specdec.domain.estimate import Estimate
    from pytest_specdec.domain.speculation_mode import Speculation
    from pytest_specdec.engine.template import Template
    from pytest_specdec.errors import (
        AuditError,
        BrokenFileError,
        EngineError,
        InconclusiveError,
        InvalidInputError,
        NotComparableError,
        NotMeasuredError,
        SpecdecError,
    )
    from pytest_specdec.gate.acceptance.checks import acceptance_checks
    from pytest_specdec.outputs.checks import Outputs
    from pytest_specdec.plugin.judged_baseline import JudgedBaseline, LossWarning
    from pytest_specdec.results.measurement import Measurement

__all__ = [
    "AuditError",
    "BrokenFileError",
    "Cell",
    "Comparison",
    "Curve",
    "EngineError",
    "EngineSpec",
    "Estimate",
    "InconclusiveError",
    "InvalidInputError",
    "JudgedBaseline",
    "LossWarning",
    "Measurement",
    "NotComparableError",
    "NotMeasuredError",
    "Outputs",
    "SpecdecError",
    "Speculation",
    "Template",
    "Workload",
    "__version__",
    "acceptance_checks",
]

_MODULES = {
    "domain.cell": ("Cell", "EngineSpec", "Workload"),
    "domain.comparison": ("Comparison",),
    "domain.curve": ("Curve",),
    "domain.estimate": ("Estimate",),
    "domain.speculation_mode": ("Speculation",),
    "engine.template": ("Template",),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "gate.acceptance.checks": ("acceptance_checks",),
    "outputs.checks": ("Outputs",),
    "plugin.judged_baseline": ("JudgedBaseline", "LossWarning"),
    "results.measurement": ("Measurement",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name where it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
