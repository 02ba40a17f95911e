"""What README and docs show, runs: on a local simulated engine in a temporary folder, or at least by the parsers."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from doc_blocks import PAGES, ROOT, Block, Command, blocks, missing
from doc_commands import FOREIGN, OURS, Done, environment, parse, run, run_in_a_shell
from doc_generated import PARTS, glossary, remade

from pytest_specdec.domain import client_health
from pytest_specdec.domain.metric import METRICS
from pytest_specdec.domain.outcome import Outcome

PARSED = {
    f"{page.stem}: {command.text}": command.text
    for page in PAGES
    for block in blocks(page)
    for command in block.commands
    if block.needs
}
RUN = [page for page in PAGES if any(block.commands and not block.needs for block in blocks(page))]
EXIT_TESTS_FAILED = 1


@pytest.fixture
def _as_a_reader(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder and the environment that the commands of a page find."""
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    for name, value in OURS.items():
        monkeypatch.setenv(name, value)
    # A busy test machine is no limit of the client's.
    for bound in [name for name in vars(client_health) if name.startswith("MOST_")]:
        monkeypatch.setattr(client_health, bound, float("inf"))
    (pytester.path / "tests").mkdir()
    (pytester.path / "tests" / "data").symlink_to(ROOT / "tests" / "data")


@pytest.mark.usefixtures("_as_a_reader")
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_one_after_the_other(page: Path, pytester: pytest.Pytester) -> None:
    ports: dict[str, str] = {}
    with background(pytester.path) as start:
        for block in blocks(page):
            if block.file:
                (pytester.path / block.file).parent.mkdir(parents=True, exist_ok=True)
                (pytester.path / block.file).write_text(with_free_ports(block.text, ports))
            for command in () if block.needs else block.commands:
                text = re.sub(r"--specdec-window \d+", "--specdec-window 0.3", with_free_ports(command.text, ports))
                if command.background:
                    start(text.removesuffix("&").strip())
                else:
                    check(command, run(text, pytester))


def test_the_command_that_the_readme_shows_runs_in_a_shell(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "data").symlink_to(ROOT / "tests" / "data")
    (command,) = [c for block in blocks(ROOT / "README.md") if not block.needs for c in block.commands]
    check(command, run_in_a_shell(command.text, tmp_path))


def check(command: Command, done: Done) -> None:
    """A command ends well and prints what the page says; tests of a toy may fail, an error in their way may not be."""
    allowed = (0, EXIT_TESTS_FAILED) if command.text.startswith("pytest") else (0,)
    assert done.code in allowed, f"$ {command.text}\n{done.printed}"
    assert "Traceback" not in done.printed, f"$ {command.text}\n{done.printed}"
    assert "ENGINE TROUBLE" not in done.printed, f"$ {command.text}\n{done.printed}"
    assert missing(command.prints, done.printed) == "", f"$ {command.text}\n{done.printed}"


@pytest.mark.parametrize("command", PARSED.values(), ids=PARSED.keys())
def test_what_is_not_run_here_is_parsed(command: str, pytester: pytest.Pytester) -> None:
    parse(command, pytester)


@pytest.mark.parametrize(
    "command",
    ["pytest suites --specdec-lunch vllm", "specdec selftest suites --specdec-window soon", "specdek history"],
)
def test_a_command_that_is_not_ours_is_refused(command: str, pytester: pytest.Pytester) -> None:
    with pytest.raises(AssertionError):
        parse(command, pytester)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), target
        assert linked.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """Anchors as GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_blocks_are_read_with_their_comments_commands_and_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- needs a GPU -->\n```sh\n# a comment\npip install x   # why\n```\n"
        "<!-- file: a/b.py -->\n```python\nx = 1\n```\n"
        "```console\n$ one \\\n  --two\nout 1\n$ three &\n```\n"
    )
    first, second, third = blocks(page)
    assert first == Block(language="sh", text="# a comment\npip install x   # why\n", needs="a GPU", file="")
    assert first.commands == (Command(text="pip install x", prints=()),)
    assert (second.file, second.text, second.commands) == ("a/b.py", "x = 1\n", ())
    assert [command.background for command in third.commands] == [False, True]
    assert third.commands[0].text.split() == ["one", "--two"]
    assert third.commands[0].prints == ("out 1",)


def test_promised_output_is_looked_for_in_order_with_any_numbers() -> None:
    printed = "a  12 b\nc\nd 3.5\n"
    assert missing(("a 7 b", "...", "d 1.25"), printed) == ""
    assert missing(("d 1.25", "a 7 b"), printed) == "a 7 b"
    assert missing(("e",), printed) == "e"


def with_free_ports(text: str, ports: dict[str, str]) -> str:
    """The text with each of its ports exchanged for a free one, the same one throughout a page."""

    def exchange(match: re.Match[str]) -> str:
        if match[2] not in ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                ports[match[2]] = str(free.getsockname()[1])
        return match[1] + ports[match[2]]

    return re.sub(r"(localhost:|127\.0\.0\.1:|--port )(\d+)", exchange, text)


@contextmanager
def background(folder: Path) -> Iterator[Callable[[str], None]]:
    """Start servers that go on while a page is run, each ready when its port takes connections."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: str) -> None:
        port = int(re.findall(r"--port (\d+)", command)[0])
        words = shlex.split(command)
        started.append(
            subprocess.Popen(words, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        give_up = time.monotonic() + 60
        while True:
            assert started[-1].poll() is None, f"{command} ended"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert time.monotonic() < give_up, f"{command} does not listen"
            time.sleep(0.05)

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.parametrize("page", PARTS, ids=lambda page: page.stem)
def test_what_is_made_from_the_code_is_up_to_date(page: Path) -> None:
    assert page.read_text() == remade(page), "run: python tests/support/doc_generated.py"


def test_the_glossary_has_every_metric() -> None:
    assert [line.split("`")[1] for line in glossary().splitlines()[2:]] == list(METRICS)


def test_every_outcome_is_explained() -> None:
    words = (ROOT / "docs" / "verdicts.md").read_text().partition("## One cell")[0]
    assert [outcome for outcome in Outcome if f"| `{outcome.value}`" not in words] == []
