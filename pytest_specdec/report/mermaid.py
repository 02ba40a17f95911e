"""Two frontiers as a Mermaid chart.

GitHub and GitLab draw such a block in step summaries, comments and files alike, where an image would need an address:
`data:` addresses are removed, and a file beside the page is not there in a comment. Its horizontal axis is even, so the
curves are read at even steps.
"""

from __future__ import annotations

import re

from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.errors import NotMeasuredError

_SAMPLES = 11
_COLOURS = {"teal": "#0b7285", "orange": "#e8590c"}


def frontier_chart(comparison: Comparison, title: str) -> str:
    """Both frontiers over the interactivity that both cover, as a Mermaid block; empty where they share no range."""
    try:
        low, high = comparison.overlap
    except NotMeasuredError:
        return ""
    if high <= low:
        return ""
    levels = [low + (high - low) * step / (_SAMPLES - 1) for step in range(_SAMPLES)]
    levels[-1] = high
    lines = [
        [curve.at(level).throughput.value for level in levels] for curve in (comparison.candidate, comparison.reference)
    ]
    mine, theirs = (_plain(name) for name in comparison.names)
    palette = ", ".join(_COLOURS.values())
    (first, second) = _COLOURS
    top = max(max(line) for line in lines) * 1.05
    caption = (
        f"Throughput over interactivity, **{mine}** in {first} and **{theirs}** in {second}; read between the measured "
        "points, over the range that both cover:"
    )
    return "\n".join(
        [
            caption,
            "",
            "```mermaid",
            f'%%{{init: {{"themeVariables": {{"xyChart": {{"plotColorPalette": "{palette}"}}}}}}}}%%',
            "xychart-beta",
            f'    title "{_plain(title)}"',
            f'    x-axis "interactivity, tok/s/user" {low:.1f} --> {high:.1f}',
            f'    y-axis "throughput, tok/s/GPU" 0 --> {top:.0f}',
            *(f"    line [{', '.join(f'{value:.1f}' for value in line)}]" for line in lines),
            "```",
        ]
    )


def _plain(text: str) -> str:
    """Text that ends no quotes and opens no block in a diagram."""
    return re.sub(r"[^\w .,/+()-]", " ", text)
