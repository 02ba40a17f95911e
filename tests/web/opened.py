"""A headless Chromium, and pages that it opens from files. Without one the tests are skipped by name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

VARIABLE = "SPECDEC_CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """Path of a browser: the variable's, else Debian's."""
    return os.environ.get(VARIABLE) or next((path for name in _NAMES if (path := shutil.which(name))), None)


@dataclass(slots=True)
class Opened:
    """A page, and what it did that it must not do."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def number(self, selector: str) -> tuple[float, float | None]:
        """Value and half-width of a cell in full precision."""
        data = self.page.locator(selector).first.evaluate("cell => ({...cell.dataset})")
        return float(data["value"]), float(data["half"]) if "half" in data else None


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip(f"there is no Chromium (apt-get install chromium, or {VARIABLE}=PATH)")
    # As root there is no sandbox; the only pages here are our own.
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Write HTML to a file and open it; at the end nothing may have been complained of or asked of a network."""
    opened: list[Opened] = []

    def open_page(html: str, *, width: int = 1240, height: int = 900, scheme: str = "light") -> Opened:
        path = tmp_path / f"page{len(opened)}.html"
        path.write_text(html, encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            accept_downloads=True,
        )
        shown = Opened(context.new_page())
        shown.page.set_default_timeout(20_000)
        shown.page.on("console", lambda message: shown.complaints.append(message.text))
        shown.page.on("pageerror", lambda error: shown.complaints.append(str(error)))
        shown.page.on("dialog", lambda dialog: shown.complaints.append(f"dialog: {dialog.message}"))
        shown.page.on(
            "request",
            lambda request: None if _local(request.url) else shown.complaints.append(f"request: {request.url}"),
        )
        shown.page.goto(path.as_uri())
        shown.page.wait_for_selector("html[data-ready]")
        opened.append(shown)
        return shown

    yield open_page
    for shown in opened:
        shown.page.context.close()
        assert shown.complaints == []


def _local(url: str) -> bool:
    return url.startswith(("file://", "blob:", "data:"))
