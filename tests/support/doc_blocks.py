"""The code blocks of README and docs: what they are, what they need, how they are run.

A fence is one of
- `console`: lines that begin with `$ ` are commands, the others are what they print (digits stand for any number, a
  line of `...` for any lines);
- `sh`: every line is a command;
- anything else is text, or a file where a comment names it.

Comments before a fence: `<!-- needs ... -->` says what a machine without GPU and network lacks: its commands are only
parsed. `<!-- file: NAME -->` gives a block that the commands after it find as a file. A command that ends in `&` goes
on in the background until the page ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(
    r"(?P<comments>(?:^ *<!--[^\n]*-->\n)*)^ *```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)
_COMMENT = re.compile(r"<!-- *(needs|file:) *(.+?) *-->")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a block, and what the page says that it prints."""

    text: str
    prints: tuple[str, ...]

    @property
    def background(self) -> bool:
        """Whether it goes on while the next ones run."""
        return self.text.endswith("&")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fence of a page."""

    language: str
    text: str
    needs: str
    """What a machine without GPU and network lacks; empty where it can be run."""
    file: str
    """Name under which the commands after it find it."""

    @property
    def commands(self) -> tuple[Command, ...]:
        """Its commands; none where it is no block of commands."""
        if self.language not in ("console", "sh"):
            return ()
        found: list[tuple[str, list[str]]] = []
        for line in self.text.replace("\\\n", " ").splitlines():
            if self.language == "sh" and line.strip() and not line.startswith("#"):
                found.append((_stripped(line), []))
            elif line.startswith("$ "):
                found.append((_stripped(line.removeprefix("$ ")), []))
            elif found:
                found[-1][1].append(line)
        return tuple(Command(text=text, prints=tuple(prints)) for text, prints in found)


def blocks(page: Path) -> list[Block]:
    """Every fence of a page, in order."""
    found = []
    for match in _BLOCK.finditer(page.read_text()):
        said = dict(_COMMENT.findall(match["comments"]))
        text = (
            re.sub(r"^ {1,3}", "", match["text"], flags=re.MULTILINE)
            if match["text"].startswith(" ")
            else match["text"]
        )
        found.append(
            Block(language=match["language"], text=text, needs=said.get("needs", ""), file=said.get("file:", ""))
        )
    return found


def missing(expected: tuple[str, ...], printed: str) -> str:
    """First line that the page promises and the command did not print, in order; empty where it printed all."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in expected:
        if not line.strip() or line.strip() == "...":
            continue
        pattern = re.sub(r"\d+", r"\\d+", re.escape(" ".join(line.split()))).replace(r"\.\.\.", ".*")
        if not any(re.search(pattern, candidate) for candidate in lines):
            return line
    return ""


def _stripped(line: str) -> str:
    """A command without the comment behind it."""
    return re.sub(r"\s+#\s.*$", "", line).strip()
