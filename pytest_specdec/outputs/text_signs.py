"""Signs of broken text: characters that are not text, text decoded wrongly, another script or language."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

import ftfy

REPLACEMENT = "\ufffd"
ODD_SHARE = 0.01
"""Share of unassigned and private-use characters from which a text is none: new emoji and icon fonts have a few."""
SWITCH_SHARE = 0.2
"""Share of letters of a script that the control does not have."""

_LEAST_ODD = 3
_LONGEST_PART = 3
_LEAST_LETTERS = 20
_KEPT_SHARE = 0.01
_LOST_SHARE = 0.3
_LEAST_FUNCTION_WORDS = 8
_AROUND = 20

# Tab, line feed, vertical tab, form feed, carriage return are text.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")

# ftfy reads square and cubic ångströms as another character.
_ANGSTROMS = re.compile("Å[²³]")

_SCRIPTS = {"HIRAGANA": "KANA", "KATAKANA": "KANA", "CJK": "HAN", "FULLWIDTH": "LATIN", "HALFWIDTH": "KANA"}
_NO_SCRIPT = {"MATHEMATICAL", "MODIFIER", "SCRIPT", "DOUBLE-STRUCK", "BLACK-LETTER", "SUPERSCRIPT", "FEMININE"}
_WORD = re.compile(r"[^\W\d_]+")
# Words that are frequent in one of these languages and in no other of them.
_FUNCTION_WORDS = {
    "English": "the and of is that it was with this are from which have they has been would their",
    "German": "der und ist nicht das ein eine auf mit dem den sich auch werden wird sind oder einen",
    "French": "le les des est dans une pour pas sur avec qui sont cette vous nous aux plus être",
    "Spanish": "el los las una por con para del más pero como está son muy también hay esto y",
    "Italian": "il di che è gli della nel sono anche più questo alla delle essere non ha dei",
    "Portuguese": "os não uma em do da ao mais também você são pelo isso foi dos seu com muito",
    "Dutch": "het een van niet zijn voor dat ook aan naar worden deze wordt maar bij ik je heeft",
}
_LANGUAGE_OF: dict[str, str] = {}
for _language, _words in _FUNCTION_WORDS.items():
    for _word in _words.split():
        # A word of two lists tells nothing.
        _LANGUAGE_OF[_word] = "" if _word in _LANGUAGE_OF else _language


def non_text(text: str, *, cut: bool = False) -> str | None:
    """Say what in a text is no text; the last character of one that was cut may be incomplete."""
    if cut:
        kept = text.rstrip(REPLACEMENT)
        # Of a character of four bytes at most three are there; more of them were never one character.
        text = kept if len(text) - len(kept) <= _LONGEST_PART else text
    at = text.find(REPLACEMENT)
    if at >= 0:
        return f"{text.count(REPLACEMENT)} replacement characters: {_around(text, at)}"
    control = _CONTROL.search(text)
    if control:
        return f"control character U+{ord(control[0]):04X}: {_around(text, control.start())}"
    odd = [at for at, sign in enumerate(text) if unicodedata.category(sign) in ("Cn", "Co", "Cs")]
    if len(odd) >= _LEAST_ODD and len(odd) > ODD_SHARE * len(text):
        return f"{len(odd)} unassigned or private-use characters of {len(text)}: {_around(text, odd[0])}"
    return _mojibake(text)


def switched_script(text: str, control: str) -> str | None:
    """Say to which script or language a text has gone over from the control's; None where it has not."""
    ours, theirs = _scripts(text), _scripts(control)
    letters, others = ours.total(), theirs.total()
    if letters >= _LEAST_LETTERS and others >= _LEAST_LETTERS:
        for script in sorted(ours | theirs):
            share, usual = ours[script] / letters, theirs[script] / others
            if share >= SWITCH_SHARE and usual < _KEPT_SHARE:
                return f"{share:.0%} of its letters are {script.lower()}, {usual:.0%} of the control's"
            if usual >= _LOST_SHARE and share < _KEPT_SHARE:
                return f"{share:.0%} of its letters are {script.lower()}, {usual:.0%} of the control's"
    language, usual_language = _language_of(text), _language_of(control)
    if language and usual_language and language != usual_language:
        return f"its words are {language}, the control's {usual_language}"
    return None


def _mojibake(text: str) -> str | None:
    text = _ANGSTROMS.sub("", text)
    decoded = ftfy.fix_encoding(text)
    if decoded == text:
        return None
    at = next((at for at, (a, b) in enumerate(zip(text, decoded, strict=False)) if a != b), len(decoded))
    return f"text decoded wrongly: {decoded[at : at + _AROUND]!r} as {_around(text, at)}"


def _scripts(text: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for letter, times in Counter(text).items():
        script = _script(letter)
        if script:
            found[script] += times
    return found


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    if not letter.isalpha():
        return ""
    name = unicodedata.name(letter, "").split(" ")[0]
    return "" if name in _NO_SCRIPT else _SCRIPTS.get(name, name)


def _language_of(text: str) -> str:
    """The language whose function words prevail clearly; empty where none do."""
    counted = Counter(_LANGUAGE_OF.get(word, "") for word in _WORD.findall(text.casefold()))
    del counted[""]
    ranked = counted.most_common(2)
    if not ranked or ranked[0][1] < _LEAST_FUNCTION_WORDS:
        return ""
    return ranked[0][0] if len(ranked) == 1 or ranked[0][1] >= 2 * ranked[1][1] else ""


def _around(text: str, at: int) -> str:
    return repr(text[max(at - _AROUND, 0) : at + _AROUND])
