"""Task accuracy with MTP against without: answers read from prose, and the verdict."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation

from pytest_specdec.outputs.tasks import Form, Task
from pytest_specdec.outputs.verdict import ALPHA, MUST_SEE, OutputVerdict, judge_losses, same_length

CHECK = "task accuracy"

_THOUGHT = re.compile(r"\A.*?</think>", re.DOTALL)
_MARK = re.compile(r"(?:\banswer\b(?:\s+is\b)?[\s*_`]*[:=][\s*_`]*|####\s*)", re.IGNORECASE)
_MARKED = re.compile(_MARK.pattern + r"([^\n]*\S)", re.IGNORECASE)
_BULLET = re.compile(r"^[ \t]*(?:[-*•]|\d+[.)])[ \t]+", re.MULTILINE)
_BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}")
_LATEX = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]*)\}")
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?|[-+]?\.\d+")
_THOUSANDS = re.compile(r"(?<=\d)[,\u00a0\u202f '\u2019](?=\d{3}(?!\d))")
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d{1,2}(?!\d))")
_ISO_DATE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_DAY_FIRST = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?\.? (?:of )?([a-z]{3})[a-z]*\.?,? (\d{4})", re.IGNORECASE)
_MONTH_FIRST = re.compile(r"([a-z]{3})[a-z]*\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})", re.IGNORECASE)
_MINUS = "\u2212"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DECORATION = " \t*_`\"'“”\u2018\u2019«»$.,;:!()[]{}"


def extract(text: str) -> str:
    """The final answer in a text: what is marked as such last, or else the last line."""
    body = _LATEX.sub(r"\1", _THOUGHT.sub("", text, count=1))
    boxed = _BOXED.findall(body)
    marked = _MARKED.findall(body)
    if marked:
        found = _BOXED.findall(marked[-1])
        return str(found[-1] if found else marked[-1]).strip()
    if boxed:
        return str(boxed[-1]).strip()
    lines = [line.strip() for line in body.splitlines() if line.strip(_DECORATION)]
    return lines[-1] if lines else ""


def solved(task: Task, text: str) -> bool:
    """True where an answer gives the task's result, in any format."""
    found = extract(text)
    match task.form:
        case Form.NUMBER:
            return _number(found) == Decimal(task.answer)
        case Form.DATE:
            return _date(found) == date.fromisoformat(task.answer)
        case Form.LIST:
            return _list(task.answer) in (_list(found), _list(_BULLET.sub(", ", _after_the_mark(text))))
        case Form.TEXT:
            return _text(found) == _text(task.answer)


def _after_the_mark(text: str) -> str:
    """All lines after the last mark: a list may stand below it."""
    marks = list(_MARK.finditer(text))
    return text[marks[-1].end() :] if marks else ""


def judge_accuracy(
    tasks: Sequence[Task], off: Sequence[str], mtp: Sequence[str], *, alpha: float = ALPHA, must_see: float = MUST_SEE
) -> OutputVerdict:
    """Judge whether fewer tasks are solved with MTP than without; the numbers state the smallest visible drop.

    Raises:
        InvalidInputError: the answers are not of these tasks.
    """
    same_length(tasks=len(tasks), off=len(off), mtp=len(mtp))
    pairs = [
        (not solved(task, ours), not solved(task, theirs)) for task, ours, theirs in zip(tasks, mtp, off, strict=True)
    ]
    return judge_losses(CHECK, "unsolved tasks", pairs, alpha=alpha, must_see=must_see)


def _number(text: str) -> Decimal | None:
    """The number that a text gives: after its last equals sign, and of several the first."""
    cleaned = _THOUSANDS.sub("", text.replace(_MINUS, "-").replace(r"\,", "").replace("{,}", "")).rpartition("=")[2]
    found = _NUMBER.search(_DECIMAL_COMMA.sub(".", cleaned))
    try:
        return Decimal(found[0].replace(",", "")) if found else None
    except InvalidOperation:
        return None


def _date(text: str) -> date | None:
    try:
        if found := _ISO_DATE.search(text):
            return date(int(found[1]), int(found[2]), int(found[3]))
        if found := _DAY_FIRST.search(text):
            return date(int(found[3]), _month(found[2]), int(found[1]))
        if found := _MONTH_FIRST.search(text):
            return date(int(found[3]), _month(found[1]), int(found[2]))
    except ValueError:
        return None
    return None


def _month(name: str) -> int:
    return _MONTHS.index(name.casefold()) + 1


def _list(text: str) -> list[str]:
    separator = r"[,;>]|\s+and\s+" if re.search("[,;>]", text) else r"\s+"
    parts = re.split(separator, text.replace(_MINUS, "-"))
    return [_text(part) for part in parts if _text(part)]


def _text(text: str) -> str:
    return " ".join(text.casefold().split()).strip(_DECORATION)
