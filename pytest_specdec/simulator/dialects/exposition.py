"""Prometheus text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal


class Exposition:
    """Collects metrics of one label set."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels
        self._lines: list[str] = []

    def add(self, name: str, kind: Literal["gauge", "counter"], value: float, **more: str) -> None:
        """Add a sample; a counter's name gets its `_total`."""
        self._lines.append(f"# TYPE {name} {kind}")
        self._sample(f"{name}_total" if kind == "counter" else name, value, more)

    def by_position(self, name: str, label: str, values: Mapping[int, float]) -> None:
        """Add a counter per draft position."""
        self._lines.append(f"# TYPE {name} counter")
        for position, value in values.items():
            self._sample(f"{name}_total", value, {label: str(position)})

    def histogram(self, name: str, total: float, count: float) -> None:
        """Add a histogram of one bucket: readers use its sum and count."""
        self._lines.append(f"# TYPE {name} histogram")
        self._sample(f"{name}_bucket", count, {"le": "+Inf"})
        self._sample(f"{name}_count", count, {})
        self._sample(f"{name}_sum", total, {})

    def text(self) -> str:
        """The exposition."""
        return "\n".join(self._lines) + "\n"

    def _sample(self, name: str, value: float, more: Mapping[str, str]) -> None:
        labels = ",".join(f'{label}="{text}"' for label, text in {**self._labels, **more}.items())
        self._lines.append(f"{name}{{{labels}}} {float(value)}")
