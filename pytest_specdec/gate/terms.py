"""What the gate promises and how far it goes to keep it."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from pytest_specdec.errors import InvalidInputError

PAIRS_PER_BLOCK = 2
"""Old, new, new, old: a drift that is linear over the block cancels."""


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Error rates, looks, and when to stop; docs/gate.md gives the reason for each default."""

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
    looks: tuple[int, ...] = (4, 8, 12, 16, 24)
    """Pairs at which confirmation looks: whole ABBA blocks."""
    last_look_of_many: int = 32
    """One more look in suites of more than `many` hypotheses, where each has less alpha."""
    many: int = 200
    outright_share: float = 0.25
    """Of the suspects' alpha, where the old engine cannot be started: for losses that the screen itself proves."""
    session_looks: tuple[int, ...] = (2, 4, 8)
    """Fresh starts of the candidate at which the unpaired fallback looks."""
    common_cells: int = 8
    """Quietest cells that tell whether a common shift is the engine's."""
    common_pairs: int = 6
    restarts: bool = True
    """Each run of a pair is on a server start of its own. Attached servers are not restarted: what their one start
    happens to be does not average out, and is counted in full."""
    confirms: bool = True
    """Whether suspects are measured again; otherwise a metric can be gated only where the screen itself clears it."""
    wave: int = 10
    """Cells that are confirmed at a time, worst first."""
    exhaustive: bool = False
    """Confirm every suspect; otherwise a wave with a FAIL is the last."""
    improvements: bool = False
    """Spend pairs also on cells that may have improved, so that they may become a baseline."""

    def __post_init__(self) -> None:
        counts = (*self.looks, self.last_look_of_many, self.common_pairs)
        if any(count % PAIRS_PER_BLOCK for count in counts):
            raise InvalidInputError(f"looks are at whole ABBA blocks of two pairs, not at {counts}")
        for looks in (self.looks, self.session_looks):
            if not looks or looks[0] < 2 or any(a >= b for a, b in pairwise(looks)):
                raise InvalidInputError(f"looks rise from at least 2, not {looks}")
        shares = (self.common_share, self.extra_share, self.confirm_share)
        if not 0 < self.alpha < 0.5 or any(share < 0 for share in shares) or self.confirm_share == 0:
            raise InvalidInputError(
                "alpha lies between 0 and 0.5, and its shares for common loss and extra checks between 0 and 1"
            )

    @property
    def confirm_share(self) -> float:
        """Of alpha: for the suspects."""
        return 1.0 - self.common_share - self.extra_share

    def pair_looks(self, hypotheses: int) -> tuple[int, ...]:
        """Looks for a suite of so many hypotheses."""
        more = hypotheses > self.many and self.last_look_of_many > self.looks[-1]
        return (*self.looks, self.last_look_of_many) if more else self.looks


def spent_at(looks: tuple[int, ...], number: int) -> float:
    """Share of an error rate that look `number` (from 0) may spend: its share of all observations.

    Linear spending by the union bound: the shares of all looks sum to 1, whatever the correlation between them.
    """
    before = looks[number - 1] if number else 0
    return (looks[number] - before) / looks[-1]
