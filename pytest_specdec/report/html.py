"""The HTML page: one file that opens offline, makes no network request, and runs no text of a run as script.

The document travels as JSON in a block that no browser executes, with every character escaped that could end it. A
content security policy allows the page's own script and style by their hashes and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib import resources

import msgspec

from pytest_specdec.domain.comparison import Comparison
from pytest_specdec.report.formats import Compared, Session
from pytest_specdec.report.page_data import comparisons_document, run_document
from pytest_specdec.report.page_document import PageDocument
from pytest_specdec.results.run import Run

_SCRIPTS = (
    *("dom.js", "reading.js", "chart.js", "model.js", "comparison.js", "points.js", "sections.js"),
    *("chart-view.js", "page.js"),
)
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def of_run(run: Run, session: Session) -> str:
    """The page of a pytest session."""
    return page(run, session.levels)


def of_compared(compared: Compared) -> str:
    """The page of a run, beside an earlier one where there is one, or of comparisons of other results."""
    if compared.run is not None:
        return page(compared.run, compared.levels, compared.before)
    return comparisons_page(compared.comparisons, compared.levels, compared.remarks)


def page(run: Run, levels: Sequence[float] | None = None, reference: Run | None = None) -> str:
    """The page of a run, with an earlier run beside it as its baseline when there is one."""
    return render_page(run_document(run, levels, reference))


def comparisons_page(
    comparisons: Iterable[Comparison], levels: Sequence[float] | None = None, remarks: Sequence[str] = ()
) -> str:
    """The page of comparisons that come from published or peers' results."""
    return render_page(comparisons_document(comparisons, levels, remarks))


def render_page(document: PageDocument) -> str:
    """Put the document into the page."""
    # Imported here: only a page needs the template engine.
    import jinja2  # noqa: PLC0415

    script = '"use strict";\n(() => {\n' + "\n".join(map(_asset, _SCRIPTS)) + "\n})();\n"
    style = _asset("page.css")
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_asset("page.html.j2"))
    return template.render(
        title=document.title,
        script=script,
        script_hash=_hash(script),
        style=style,
        style_hash=_hash(style),
        data=json_block(document),
    )


def json_block(document: PageDocument) -> str:
    """JSON that cannot end its element, whatever the name of a model."""
    text = msgspec.json.encode(document).decode()
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def _asset(name: str) -> str:
    return (resources.files("pytest_specdec") / "report" / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
