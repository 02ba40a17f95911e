"""An option as one row: the field of a settings group with its parser, default, flag, ini key and help."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

_ROW = "option"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One field of a settings group as the user gives it: by a flag, an ini key, or both."""

    parse: Callable[[str], Any]
    """Text -> value; raises argparse.ArgumentTypeError."""
    default: Any
    help: str
    """Without the default and the ini key."""
    flag: str = ""
    ini: str = ""
    metavar: str | None = None
    choices: Collection[str] | None = None
    bare: str | None = None
    """Value of the flag without an argument; None where it needs one."""
    gather: Callable[[Sequence[Any]], Any] | None = None
    """Collection of the values of a flag that may be repeated."""
    shown: str = ""
    """The default as help shows it."""
    source: bool = False
    """Names the place where the engine comes from: of several such options, one is given."""
    reference: str = ""
    """Help of the variant for the reference engine; empty where the candidate's value holds for both."""

    def flag_help(self) -> str:
        """Help of the flag, with the ini key and the default."""
        told = [text for text in (self.ini and f"ini: {self.ini}", self.shown and f"default {self.shown}") if text]
        return f"{self.help} ({', '.join(told)})" if told else self.help

    def ini_help(self) -> str:
        """Help of the ini key: the flag's where there is one."""
        text = f"Same as {self.flag}" if self.flag else self.help
        return f"{text} (default {self.shown})" if self.shown else text

    def of_reference(self) -> Option:
        """The variant for the reference engine."""
        return replace(
            self,
            flag=self.flag.replace("--specdec-", "--specdec-reference-", 1),
            ini=self.ini.replace("specdec_", "specdec_reference_", 1),
            help=self.reference,
            shown="",
            reference="",
        )


def option(
    parse: Callable[[str], Any],
    default: object,
    flag: str = "",
    *,
    secret: bool = False,
    **row: Any,  # noqa: ANN401 - as in Option, which checks the names
) -> Callable[..., Any]:
    """Make a function from help texts to a field of a frozen settings group that the user gives.

    Args:
        parse: Text -> value.
        default: As the user would write it, or a value that is not text.
        flag: The flag with its metavar: `--specdec-precision PERCENT`.
        secret: Keep the value out of the group's repr.
        row: Further fields of Option.
    """
    name, _, metavar = flag.partition(" ")
    value = parse(default) if isinstance(default, str) else default
    row = {"shown": default if isinstance(default, str) else ""} | row

    def described(text: str, *, reference: str = "") -> Any:  # noqa: ANN401 - as dataclasses.field
        made = Option(
            parse=parse, default=value, flag=name, metavar=metavar or None, help=text, reference=reference, **row
        )
        # As a factory: an empty mapping is no valid plain default of a field.
        return field(default_factory=lambda: value, repr=not secret, metadata={_ROW: made})

    return described


def rows(group: type) -> Iterator[tuple[str, Option]]:
    """The options of a settings group by the name of their field."""
    for each in fields(group):
        if (row := each.metadata.get(_ROW)) is not None:
            yield each.name, row
