"""A verb of the `specdec` command: what each file of this folder defines as `VERB`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verb:
    """Name, words and function of a verb; the table is in `__main__`."""

    name: str
    """One word, or the word of a group before it: `baselines check`."""
    help: str
    run: Callable[[argparse.Namespace], None]
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda _: None
    description: str = ""
    """Text above the options; printed as it stands where it has several lines."""
    takes_more: bool = False
    """Arguments that the verb does not know are for the program that it starts."""

    def add_to(self, verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add the parser of this verb."""
        raw = "\n" in self.description
        parser = verbs.add_parser(
            self.name.split()[-1],
            help=self.help,
            description=self.description or None,
            formatter_class=argparse.RawDescriptionHelpFormatter if raw else argparse.HelpFormatter,
        )
        self.add_arguments(parser)
        parser.set_defaults(run=self.run, takes_more=self.takes_more)
