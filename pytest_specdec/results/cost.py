"""Cost of an invocation: server starts, time, GPU-hours, money."""

from __future__ import annotations

import msgspec

from pytest_specdec.domain.naming import plural


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Resources that an invocation used."""

    server_starts: int
    """Servers that were started for it; 0 where they were attached."""
    seconds: float
    gpu_hours: float
    """GPUs x hours while an engine was up or starting."""
    usd: float

    def words(self) -> str:
        """`12 server starts, 34 min, 4.5 GPU-hours, $6.40`."""
        starts = plural(self.server_starts, "server start")
        return f"{starts}, {self.seconds / 60:.1f} min, {self.gpu_hours:.2g} GPU-hours, ${self.usd:.2f}"
