"""The HTML page: one file that opens offline, makes no network request, and runs no text of a run as script.

The document travels as JSON in a block that no browser executes, with every character escaped that could end it. A
content security policy allows the page's own script and style by their hashes and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pytest_specdec.report.formats import Compared, Session
from pytest_specdec.report.page_data import comparisons_document, run_document
from pytest_specdec.report.page_document import PageDocument
from pytest_specdec.report.template import asset, rendered
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
    return render_page(comparisons_document(compared.comparisons, compared.levels, compared.remarks))


def page(run: Run, levels: Sequence[float] | None = None, reference: Run | None = None) -> str:
    """The page of a run, with an earlier run beside it as its baseline when there is one."""
    return render_page(run_document(run, levels, reference))


def render_page(document: PageDocument) -> str:
    """Put the document into the page."""
    script = '"use strict";\n(() => {\n' + "\n".join(map(asset, _SCRIPTS)) + "\n})();\n"
    style, data = asset("page.css"), json_block(document)
    return rendered("page.html.j2", style=style, script=script, title=document.title, data=data)


def json_block(document: PageDocument) -> str:
    """JSON that cannot end its element, whatever the name of a model."""
    text = msgspec.json.encode(document).decode()
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text
