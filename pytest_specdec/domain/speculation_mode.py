"""The mode of an engine's speculation, and the one reader and writer of its names.

A new method is one row of METHODS here, beside the adapters that start it and recognise it.
"""

from __future__ import annotations

import re

import msgspec

from pytest_specdec.errors import InvalidInputError

MTP = "mtp"
OFF = "off"
NATURAL = "natural"
LOSSLESS = "lossless"

METHODS: dict[str, str] = {MTP: "MTP"}
"""Name of a speculation method in files and options -> its title in tables."""

_LENGTH = r"\d+(?:\.\d+)?"


class Speculation(msgspec.Struct, frozen=True, order=True, kw_only=True, forbid_unknown_fields=True):
    """Method and draft tokens of an engine, with its acceptance and its verification."""

    method: str = MTP
    """Key of METHODS."""
    draft_tokens: int = 0
    """Draft tokens per step (K); 0 is Off."""
    acceptance: str = NATURAL
    """`natural`, or the acceptance length to which the engine's synthetic mode is pinned, such as `2.5`."""
    verification: str = LOSSLESS
    """`lossless`, or the engine's name of a verification mode that changes the text, such as `fly`."""

    @classmethod
    def parse(cls, mode: str) -> Speculation:
        """Read the name of a mode: the inverse of `mode`.

        Raises:
            InvalidInputError: the text is not such a name.
        """
        if mode == OFF:
            return cls()
        stems = {_stem(method): method for method in METHODS}
        pattern = rf"({'|'.join(map(re.escape, stems))})([1-9]\d*)(?:-al({_LENGTH}))?(?:-(.+))?"
        match = re.fullmatch(pattern, mode)
        if match is None:
            raise InvalidInputError(f"{mode!r} is not a speculation mode such as off, mtp3 or mtp3-al2.5")
        stem, draft_tokens, length, verification = match.groups()
        return cls(
            method=stems[stem],
            draft_tokens=int(draft_tokens),
            acceptance=_acceptance(length),
            verification=verification or LOSSLESS,
        )

    @classmethod
    def parse_option(cls, text: str) -> Speculation:
        """Read `off`, `mtp=3` or `mtp=3,al=2.5`, as options of the command line have them.

        Raises:
            InvalidInputError: the text is none of these.
        """
        match = re.fullmatch(rf"(?:off|({'|'.join(map(re.escape, METHODS))})=(\d+))(?:,al=({_LENGTH}))?", text)
        if match is None:
            raise InvalidInputError(f"a mode is off, {' or '.join(f'{method}=K[,al=L]' for method in METHODS)}")
        method, draft_tokens, length = match.groups()
        if length and not int(draft_tokens or 0):
            raise InvalidInputError("al= pins the acceptance length of an MTP mode, such as mtp=3,al=2.5")
        if not int(draft_tokens or 0):
            return cls()
        return cls(method=method, draft_tokens=int(draft_tokens), acceptance=_acceptance(length))

    @property
    def active(self) -> bool:
        """True for an engine that speculates."""
        return self.draft_tokens > 0

    @property
    def pinned_length(self) -> float | None:
        """Acceptance length to which the engine is pinned; None for natural acceptance."""
        return None if self.acceptance == NATURAL else float(self.acceptance)

    @property
    def mode(self) -> str:
        """Name for ids, paths and files: `off`, `mtp3`, `mtp3-al2.5`, `mtp3-fly`."""
        if not self.active:
            return OFF
        return "-".join([f"{_stem(self.method)}{self.draft_tokens}", *self._peculiarities("al")])

    @property
    def title(self) -> str:
        """Name for tables: `Off`, `MTP 3`, `MTP 3 AL 2.5`."""
        if not self.active:
            return "Off"
        return " ".join([method_title(self.method), str(self.draft_tokens), *self._peculiarities("AL ")])

    def _peculiarities(self, length: str) -> list[str]:
        pinned = [] if self.acceptance == NATURAL else [f"{length}{self.acceptance}"]
        return pinned if self.verification == LOSSLESS else [*pinned, self.verification]


def method_title(method: str) -> str:
    """Title of a method; an unknown one has its own name."""
    return METHODS.get(method, method)


def mode_title(mode: str) -> str:
    """Title of a mode by its name; a method without draft tokens has its title, any other text stays."""
    try:
        return Speculation.parse(mode).title
    except InvalidInputError:
        return method_title(mode)


def _stem(method: str) -> str:
    # A method's own digit must not run into the number of draft tokens: eagle3-2, but mtp2.
    return f"{method}-" if method[-1:].isdigit() else method


def _acceptance(length: str | None) -> str:
    return f"{float(length):g}" if length else NATURAL
