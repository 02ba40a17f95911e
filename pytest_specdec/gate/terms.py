"""Error rates of the gate and the effort to keep them."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from pytest_specdec.errors import InvalidInputError

PAIRS_PER_BLOCK = 2
"""Old, new, new, old: a drift that is linear over the block cancels."""


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Error rates, interim analyses and stopping; docs/gate.md gives the reason for each default."""

    alpha: float = 0.01
    """Chance that a suite without a loss beyond the tolerance FAILs anywhere."""
    common_share: float = 0.2
    """Of alpha: for a loss that all cells share."""
    extra_share: float = 0.0
    """Of alpha: for checks that bring their own p-values, such as acceptance paired by prompt."""
    screen_miss: float = 0.025
    """Chance that the screen passes a cell that lost exactly the margin."""
    confirm_miss: float = 0.02
    """The same for the confirmation."""
    interims: tuple[int, ...] = (4, 8, 12, 16, 24)
    """Pairs at which confirmation has an interim analysis: whole ABBA blocks."""
    last_interim_of_many: int = 32
    """One more interim analysis, in pairs, in suites of more than `many` hypotheses, where each has less alpha."""
    many: int = 200
    outright_share: float = 0.25
    """Of the suspects' alpha, without a reference engine: for losses that the screen itself proves."""
    session_interims: tuple[int, ...] = (2, 4, 8)
    """Fresh starts of the candidate at which the unpaired fallback has an interim analysis."""
    common_cells: int = 8
    """Cells, the quietest, whose pairs attribute a common shift."""
    common_pairs: int = 6
    restarts: bool = True
    """Each run of a pair is on a server start of its own. Attached servers are not restarted: the offset of
    their one start does not average out, so its variance counts in full."""
    confirms: bool = True
    """Suspects are measured again; otherwise a metric is gateable only where the screen alone clears it."""
    wave: int = 10
    """Cells that are confirmed at a time, worst first."""
    exhaustive: bool = False
    """Confirm every suspect; otherwise a wave with a FAIL is the last."""
    improvements: bool = False
    """Spend pairs also on cells that may have improved, so that they may become a baseline."""

    def __post_init__(self) -> None:
        counts = (*self.interims, self.last_interim_of_many, self.common_pairs)
        if any(count % PAIRS_PER_BLOCK for count in counts):
            raise InvalidInputError(f"interim analyses are at whole ABBA blocks of two pairs, not at {counts}")
        for interims in (self.interims, self.session_interims):
            if not interims or interims[0] < 2 or any(a >= b for a, b in pairwise(interims)):
                raise InvalidInputError(f"interim analyses rise from at least 2 pairs, not {interims}")
        shares = (self.common_share, self.extra_share, self.confirm_share)
        if not 0 < self.alpha < 0.5 or any(share < 0 for share in shares) or self.confirm_share == 0:
            raise InvalidInputError(
                "alpha lies between 0 and 0.5, and its shares for common loss and extra checks between 0 and 1"
            )

    @property
    def confirm_share(self) -> float:
        """Of alpha: for the suspects."""
        return 1.0 - self.common_share - self.extra_share

    def pair_interims(self, hypotheses: int) -> tuple[int, ...]:
        """Interim analyses, in pairs, of a suite with this number of hypotheses."""
        more = hypotheses > self.many and self.last_interim_of_many > self.interims[-1]
        return (*self.interims, self.last_interim_of_many) if more else self.interims


def spent_at(interims: tuple[int, ...], number: int) -> float:
    """Share of an error rate for interim analysis `number` (from 0): its share of all observations.

    Linear spending by the union bound: the shares sum to 1, whatever the correlation between the analyses.
    """
    before = interims[number - 1] if number else 0
    return (interims[number] - before) / interims[-1]
