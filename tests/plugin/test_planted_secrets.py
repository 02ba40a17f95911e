"""A secret is planted in every place that has one, and every output is searched for it."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_suite import HOLDS, PAYS, Suite

from pytest_specdec.plugin.settings import read_settings

KEY = "planted-api-key-0001"
HEADER = "planted-header-0002"
SHORT_HEADER = "pl-3"
PASSWORD = "planted-password-0004"
FACT = "planted-fact-0005"
VARIABLE = "planted-variable-0006"
LAUNCH = "planted-launch-0007"
STOP = "planted-stop-0008"
PLANTED = (KEY, HEADER, SHORT_HEADER, PASSWORD, FACT, VARIABLE, LAUNCH, STOP)
REPORTS = ("r.md", "r.html", "r.json", "r.csv", "r.bmf.json", "r.bigger.json", "junit.xml")
SOURCES = {"facts.toml", "tox.ini", "test_suite.py"}


class Echo(http.server.BaseHTTPRequestHandler):
    """Refuses everybody, and repeats what it was told, as some gateways do."""

    def do_GET(self) -> None:
        said = f"refused: {self.headers['Authorization']}, {self.headers['X-Gateway']}, {PASSWORD}"
        body = json.dumps({"error": {"message": said}}).encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def echo() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def planted(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setenv("SPECDEC_API_KEY", KEY)
    monkeypatch.setenv("GATEWAY_TOKEN", VARIABLE)
    (suite.pytester.path / "facts.toml").write_text(f'image = "https://robot:{FACT}@registry.example/vllm:1"\n')
    return suite


def arguments(*more: str) -> list[str]:
    reports = [part for name in REPORTS[:-1] for part in ("--specdec-report", name)]
    return [*reports, "--junitxml", REPORTS[-1], "--specdec-facts", "facts.toml", "-v", "-rA", *more]


def found(suite: Suite, result: pytest.RunResult) -> dict[str, set[str]]:
    """Where a planted secret is still to be seen: the terminal, and every file but those that a user wrote."""
    files = {path: path.read_bytes() for path in suite.pytester.path.rglob("*") if path.is_file()}
    texts = {str(p): c.decode(errors="replace") for p, c in files.items() if _written(p, suite.pytester.path)}
    texts["terminal"] = result.stdout.str() + result.stderr.str()
    seen = {place: {secret for secret in PLANTED if secret in text} for place, text in texts.items()}
    return {place: secrets for place, secrets in seen.items() if secrets}


def _written(path: Path, root: Path) -> bool:
    return path.relative_to(root).parts[0] not in SOURCES and path.suffix != ".pyc"


def test_no_output_of_a_run_shows_a_secret(planted: Suite, serve_http: Callable[..., str]) -> None:
    planted.write(HOLDS, PAYS)
    off, mtp = (serve_http(mtp=k).replace("http://", f"http://me:{PASSWORD}@") for k in (0, 3))
    options = ("--specdec-header", f"X-Gateway: {HEADER}", f"--specdec-header=X-Tenant: {SHORT_HEADER}")
    endpoints = (f"--specdec-endpoint=off={off}", f"--specdec-endpoint=mtp=3={mtp}")
    result = planted.run(*arguments(*options, *endpoints, "--specdec-update"), simulate=False)
    assert result.ret == 0, result.stdout.str()
    names = {path.name for path in planted.pytester.path.iterdir()}
    assert names.issuperset(REPORTS)
    assert planted.baselines
    assert found(planted, result) == {}
    facts = planted.saved_run()["measurements"][0]["environment"]["facts"]
    assert facts["image"] == "https://***@registry.example/vllm:1"


def test_no_output_shows_what_a_server_repeats(planted: Suite, echo: str) -> None:
    planted.write(HOLDS)
    endpoints = (f"--specdec-endpoint=off=http://{echo}/v1", f"--specdec-endpoint=mtp=3=http://me:{PASSWORD}@{echo}/v1")
    result = planted.run(*arguments(*endpoints, "--specdec-header", f"X-Gateway: {HEADER}"), simulate=False)
    result.stdout.fnmatch_lines(["*refused: Bearer [*][*][*], [*][*][*], [*][*][*]*"])
    assert found(planted, result) == {}


def test_no_output_shows_what_an_engine_prints_before_it_dies(planted: Suite) -> None:
    planted.write(HOLDS)
    said = f"echo \"args: api_key=['{LAUNCH}']\" && echo variable $GATEWAY_TOKEN && echo to stop {STOP} && exit 7"
    command = f"true --api-key {LAUNCH} && {said}"
    stop = f"specdec_launch_stop=true --token {STOP}"
    launch = ("--specdec-launch=vllm", "-o", f"specdec_launch_command={command}", "-o", stop, "-k", "off-c2")
    result = planted.run(*arguments(*launch), simulate=False)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*args: api_key=[[]*", "  variable ***", "  to stop ***"])
    logs = planted.pytester.path / ".specdec" / "runs" / "logs"
    assert next(logs.iterdir()).read_text().startswith("$ true --api-key *** && ")
    shown = {place: secrets for place, secrets in found(planted, result).items() if str(logs) not in place}
    assert shown == {}, "all but the engine's own log, which it writes itself"


def test_every_command_of_the_settings_is_searched_for_secrets(suite: Suite) -> None:
    commands = {
        f"specdec_{old}launch_{part}": f"{old}{part}-of-me"
        for old in ("", "reference_")
        for part in ("command", "arguments", "stop")
    }
    overrides = [word for key, secret in commands.items() for word in ("-o", f"{key}=x --token {secret}")]
    both = (
        "--specdec-endpoint=off=http://a/v1",
        "--specdec-endpoint=mtp=3=http://b/v1",
        "--specdec-reference-launch=vllm",
    )
    config = suite.pytester.parseconfig("-pspecdec", *overrides, *both, "--specdec-swap=exchange --token swap-of-me")
    known = read_settings(config).secrets().known
    assert {*commands.values(), "swap-of-me"} <= set(known)
