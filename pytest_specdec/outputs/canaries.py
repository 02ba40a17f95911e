"""Canaries: signs in single answers that something is broken, judged against how often the control shows them.

Each reads one answer, some beside the control's answer to the same prompt, and gives a quote. A healthy engine
shows some of them now and then, so what counts is the excess over the control, and for what it hardly ever shows the
background that is written beside each.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytest_specdec.domain.outcome import Outcome
from pytest_specdec.outputs.answer import Answer
from pytest_specdec.outputs.paired import Background, Paired
from pytest_specdec.outputs.repetition import loop_in
from pytest_specdec.outputs.text_signs import REPLACEMENT, non_text, switched_script
from pytest_specdec.outputs.verdict import (
    ALPHA,
    MUST_SEE,
    SUSPECT,
    OutputVerdict,
    Remark,
    conclude,
    same_length,
    share_of,
    sight,
)
from pytest_specdec.workload.tags import tags_in

CHECK = "canaries"
_SHOWN = 60
_QUOTES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A finding of a canary in one answer."""

    canary: str
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An answer, what the other mode said to the same prompt, and the prompt's tag (empty: it has none)."""

    answer: Answer
    control: Answer
    tag: str = ""
    earlier: frozenset[str] = frozenset()
    """Tags of earlier turns of the same conversation: they are no other request's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Answers to questions of one kind; all sequences stand in the order of the prompts."""

    name: str = ""
    """Such as `conversations`."""
    candidate: Sequence[Answer]
    control: Sequence[Answer]
    tags: Sequence[str] = ()
    earlier: Sequence[frozenset[str]] = ()

    def cases(self) -> list[tuple[Case, Case]]:
        """Each answer beside the control's, and the control's beside it, so that what compares is fair to both.

        Raises:
            InvalidInputError: answers or tags are not of the same prompts.
        """
        count = len(self.candidate)
        same_length(
            candidate=count,
            control=len(self.control),
            **({"tags": len(self.tags)} if self.tags else {}),
            **({"earlier": len(self.earlier)} if self.earlier else {}),
        )
        tags = self.tags or ("",) * count
        earlier = self.earlier or (frozenset[str](),) * count
        return [
            (Case(answer=a, control=b, tag=tag, earlier=known), Case(answer=b, control=a, tag=tag, earlier=known))
            for a, b, tag, known in zip(self.candidate, self.control, tags, earlier, strict=True)
        ]


def repetition(case: Case) -> str | None:
    """A repetition loop."""
    return loop_in(case.answer.spoken)


def garbage(case: Case) -> str | None:
    """Characters that are not text, or text decoded wrongly."""
    spoken = case.answer.spoken
    if not case.answer.valid_utf8:
        spoken = spoken.replace(REPLACEMENT, "")  # those are our decoder's: the bytes were none
    return non_text(spoken, cut=case.answer.cut)


def broken_utf8(case: Case) -> str | None:
    """Bytes that are no UTF-8, in the response or in the tokens put together."""
    if not case.answer.valid_utf8:
        return f"the response is not UTF-8: {case.answer.spoken[:_SHOWN]!r}"
    raw = [token.raw for token in case.answer.tokens]
    content = b"".join(part for part in raw if part is not None)
    if None in raw or not content:
        return None
    try:
        # The last character of an answer that was cut may be incomplete.
        codecs.getincrementaldecoder("utf-8")().decode(content, final=not case.answer.cut)
    except UnicodeDecodeError as error:
        return f"the tokens' bytes are not UTF-8: {content[max(error.start - 20, 0) : error.end + 20]!r}"
    return None


def ran_on(case: Case) -> str | None:
    """An answer cut at max_tokens where the control stopped by itself."""
    if not case.answer.cut or case.control.finish_reason != "stop":
        return None
    return f"the control stopped by itself, this ran to max_tokens: {case.answer.spoken[-_SHOWN:]!r}"


def foreign_text(case: Case) -> str | None:
    """Another request's tag."""
    if not case.tag:
        return None
    spoken = case.answer.spoken
    for tag, at in tags_in(spoken):
        if tag != case.tag and tag not in case.earlier:
            return f"tag {tag} in the answer to {case.tag}: {spoken[max(at - 20, 0) : at + _SHOWN]!r}"
    return None


def lost_tag(case: Case) -> str | None:
    """Its own tag is missing where the control repeats it."""
    if not case.tag or case.tag in case.answer.spoken or case.tag not in case.control.spoken:
        return None
    return f"the control repeats {case.tag}, this does not: {case.answer.spoken[:_SHOWN]!r}"


def empty(case: Case) -> str | None:
    """An empty answer where the control has text."""
    if case.answer.text.strip() or not case.control.text.strip():
        return None
    thought = f" after {len(case.answer.reasoning)} characters of reasoning" if case.answer.reasoning else ""
    return f"nothing{thought}; the control said {case.control.text.strip()[:_SHOWN]!r}"


def switched(case: Case) -> str | None:
    """Another script or language than the control's."""
    change = switched_script(case.answer.spoken, case.control.spoken)
    return change and f"{change}: {case.answer.spoken[:_SHOWN]!r}"


@dataclass(frozen=True, slots=True)
class Canary:
    """A detector, and the rate of its findings in healthy answers."""

    find: Callable[[Case], str | None]
    background: Background
    excused: bool = True
    """No failure where the control shows it as often."""


_NEVER = Background(found=0.5, seen=1e6)
"""No healthy engine shows it: one finding is enough."""
_SELDOM = Background(found=0.5, seen=500)
"""Hardly ever in texts of healthy engines: one among sixty is suspect, three are too many. An assumption."""
_SOMETIMES = Background(found=5, seen=250)
"""Greedy answers do so now and then, small models' above all: seven among sixty are too many. An assumption."""

CANARIES: Mapping[str, Canary] = {
    "repetition loop": Canary(repetition, _SOMETIMES),
    "no text": Canary(garbage, _SELDOM),
    "broken UTF-8": Canary(broken_utf8, _NEVER),
    "ran on": Canary(ran_on, _SOMETIMES),
    "foreign text": Canary(foreign_text, _NEVER, excused=False),
    "lost tag": Canary(lost_tag, _SOMETIMES),
    "empty answer": Canary(empty, _SELDOM),
    "other language": Canary(switched, _SELDOM),
}


def findings(case: Case) -> list[Sighting]:
    """Findings of all canaries in one answer."""
    seen = ((name, canary.find(case)) for name, canary in CANARIES.items())
    return [Sighting(canary=name, quote=quote) for name, quote in seen if quote]


def judge_groups(
    groups: Sequence[Group], remarks: Sequence[Remark] = (), *, alpha: float = ALPHA, must_see: float = MUST_SEE
) -> OutputVerdict:
    """Judge groups of questions, each by itself: what shows in long contexts only would drown among the others.

    All tests of all groups share the false alarms. `remarks` are what is known already, of a group that is missing.

    Raises:
        InvalidInputError: answers or tags are not of the same prompts.
    """
    each = alpha / len(CANARIES) / max(len(groups), 1)
    found = list(remarks)
    numbers: dict[str, float | None] = {}
    for group in groups:
        more, counted = _judge(group, each, must_see)
        found += more
        numbers |= {f"{group.name}: {key}" if group.name else key: value for key, value in counted.items()}
    return conclude(CHECK, found, numbers)


def _judge(group: Group, alpha: float, must_see: float) -> tuple[list[Remark], dict[str, float | None]]:
    cases = group.cases()
    remarks: list[Remark] = []
    numbers: dict[str, float | None] = {"prompts": len(cases)}
    for name, canary in CANARIES.items():
        quotes = [(canary.find(ours), canary.find(theirs)) for ours, theirs in cases]
        counted = Paired.count((bool(ours), bool(theirs)) for ours, theirs in quotes)
        numbers[name] = share_of(counted.candidate, counted.prompts)
        numbers[f"{name} (control)"] = share_of(counted.control, counted.prompts)
        told = f"{group.name}: {name}" if group.name else name
        remarks += _remark(told, canary, counted, alpha, [ours for ours, _ in quotes])
    numbers["smallest_visible"] = _SOMETIMES.smallest_visible(len(cases), alpha)
    what = f"answers with a finding ({group.name})" if group.name else "answers with a finding"
    remarks.append(sight(numbers["smallest_visible"], len(cases), must_see, what))
    return remarks, numbers


def _remark(name: str, canary: Canary, counted: Paired, alpha: float, quotes: Sequence[str | None]) -> list[Remark]:
    if not counted.candidate or (canary.excused and counted.candidate <= counted.control):
        return []
    p_value = canary.background.p_value(counted)
    if p_value <= alpha or not canary.excused:
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.INCONCLUSIVE if p_value <= SUSPECT else Outcome.PASS
    shown = [f"prompt {index}: {quote}" for index, quote in enumerate(quotes) if quote][:_QUOTES]
    chance = f"(p = {p_value:.2g})" if canary.excused else "(no excuse)"
    text = (
        f"{name}: {counted.candidate} of {counted.prompts} answers with MTP, {counted.control} without "
        f"{chance}: {'; '.join(shown)}"
    )
    return [(outcome, text)]
