"""The page for people who do not see it, or not in colour, or on a phone: axe-core's rules, in every state."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from sample_runs import two_runs

from pytest_specdec.report.html import page

if TYPE_CHECKING:
    from opened import Opened

pytest_plugins = ["opened"]

# axe-core is run by the test, where the page's own policy would rightly refuse it.
POLICY = 'http-equiv="Content-Security-Policy"'
STATES = {
    "as opened": [],
    "a table of points": ["#view-table"],
    "formulas and matched concurrency": ["#formulas-title + details summary", "#comparison summary"],
    "a pinned point": ["#chart .point >> nth=-1"],
    "a hidden curve": ["#legend button >> nth=0"],
}


@pytest.fixture(scope="module")
def html() -> str:
    now, before = two_runs()
    return page(now, None, before).replace(POLICY, 'name="no-policy"')


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(show: Callable[..., Opened], html: str, scheme: str, state: str) -> None:
    opened = show(html, scheme=scheme)
    for selector in STATES[state]:
        opened.page.click(selector)
    # Of all that it looks at, only contrast depends on the scheme.
    rules = {} if scheme == "light" else {"runOnly": ["color-contrast"]}
    results = Axe().run(opened.page, options={"resultTypes": ["violations"], **rules})
    assert results.response["passes"], "axe ran"
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_phone_scrolls_in_one_direction_only(show: Callable[..., Opened], html: str, width: int) -> None:
    opened = show(html, width=width, height=800)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.page.click("#view-table")
    opened.page.click("#comparison summary")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_control_has_a_name_and_is_reached_by_tab(show: Callable[..., Opened], html: str) -> None:
    opened = show(html)
    wanted = opened.page.locator("select:visible, button:visible, input:visible").count()
    reached = set()
    for _ in range(wanted + 40):
        opened.page.keyboard.press("Tab")
        reached.add(
            opened.page.evaluate(
                "() => [...document.querySelectorAll('select, button, input')].indexOf(document.activeElement)"
            )
        )
    disabled = opened.page.locator("select:disabled").count()
    assert len(reached - {-1}) == wanted - disabled
