"""Which concurrency to measure next, so that a target interactivity lies between two neighbouring whole ones."""

from __future__ import annotations

import math
from collections.abc import Mapping


def next_concurrency(interactivities: Mapping[int, float], target: float, *, most: int) -> int | None:
    """The concurrency that tells most of where `target` (tok/s/user) lies; None when nothing is left to find out.

    `interactivities` has what was measured, by concurrency. Interactivity falls as concurrency rises, as
    c^-a between two measured points; a target outside of what was measured is looked for by doubling and halving,
    between 1 and `most`.
    """
    fast = [c for c, value in interactivities.items() if value >= target]
    low = max(fast, default=0)
    slow = [c for c in interactivities if c > low]
    if not interactivities:
        return 1
    if not fast:
        fewest = min(interactivities)
        return None if fewest == 1 else fewest // 2
    if not slow:
        return None if low >= most else min(2 * low, most)
    high = min(slow)
    if high == low + 1:
        return None
    ratio = interactivities[low] / interactivities[high]
    share = math.log(interactivities[low] / target) / math.log(ratio) if ratio > 1 else 0.5
    guess = math.floor(math.exp(math.log(low) + share * math.log(high / low)))
    return min(max(guess, low + 1), high - 1)
