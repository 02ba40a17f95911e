"""Engines started by this plugin: one process tree per engine specification, healthy before it is measured."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pytest_specdec.domain.cell import EngineSpec
from pytest_specdec.engine.endpoint import Endpoint
from pytest_specdec.engine.provision import Running, Say
from pytest_specdec.engine.registry import LAUNCHERS
from pytest_specdec.engine.supervise import GRACE_S, STOP_S, descendants
from pytest_specdec.engine.template import Start, Template
from pytest_specdec.errors import EngineError, InvalidInputError
from pytest_specdec.redaction import Secrets

HOST = "127.0.0.1"
START_S = 90.0
"""For the plan's estimate; a large model takes minutes."""
_POLL_S = 0.5
_SAY_S = 15.0
_DYING_S = 5.0
_LAST_LINES = 8
_ASK_S = 30.0
_END_S = STOP_S + 3 * GRACE_S
"""Longest orderly stop: the stop command and both signals. A supervisor that takes longer hangs."""


ChooseTemplate = Callable[[EngineSpec, Mapping[str, str]], Template]
"""Chooses the commands for an engine, given the values that they may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchedEngines:
    """Starts an engine of its own for each specification, from a template."""

    template: ChooseTemplate
    python: str
    arguments: str
    timeout_s: float
    logs: Path
    api_key: str | None = field(default=None, repr=False)
    """Key that the engine was started with."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Extra headers of every request."""
    simulated: bool = field(default=False, init=False)
    start_s: float = field(default=START_S, init=False)
    restarts: bool = field(default=True, init=False)

    def check(self, engines: Iterable[EngineSpec]) -> None:
        """Refuse a template before anything starts.

        Raises:
            InvalidInputError: a placeholder that does not exist.
        """
        for engine in engines:
            self._filled(engine, port=0, log=Path("engine.log"))

    def refusal(self, engine: EngineSpec) -> str:  # noqa: ARG002 - the interface of all sources
        """Empty: any engine can be tried."""
        return ""

    @contextmanager
    def open(self, engine: EngineSpec, said: Say) -> Iterator[Running]:
        """Start the engine, wait until it is healthy, and stop its whole process tree at the end.

        Raises:
            EngineError: it died, or did not become healthy in time; the message carries its last lines.
            InvalidInputError: its log cannot be written.
        """
        port = _free_port()
        log = self.logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{engine.mode}-{port}.log"
        template = self._filled(engine, port=port, log=log)
        endpoint = Endpoint(url=f"http://{HOST}:{port}/v1", api_key=self.api_key, headers=self.headers)
        process = _supervised(template, log)
        try:
            self._wait_until_healthy(endpoint, process, log, engine, said)
            yield Running(endpoint=endpoint, died=lambda: _death(process, log, engine))
        finally:
            _end(process)

    def _filled(self, engine: EngineSpec, *, port: int, log: Path) -> Template:
        start = Start(
            host=HOST, port=port, python=self.python, arguments=self.arguments, scratch=str(log.with_suffix(""))
        )
        values = template_values(engine, start)
        return self.template(engine, values).filled(values)

    def _wait_until_healthy(
        self, endpoint: Endpoint, process: subprocess.Popen[bytes], log: Path, engine: EngineSpec, said: Say
    ) -> None:
        started = time.monotonic()
        spoken = started
        while not _healthy(endpoint):
            now = time.monotonic()
            if process.poll() is not None:
                raise EngineError(f"{engine} died at start (exit code {process.returncode}). {_last_words(log)}")
            if now - started > self.timeout_s:
                raise EngineError(
                    f"{engine} was not healthy after {self.timeout_s:.0f} s (ini key specdec_launch_timeout_s). "
                    f"{_last_words(log)}"
                )
            if now - spoken >= _SAY_S:
                spoken = now
                said(f"{engine} is starting: {now - started:.0f} s of at most {self.timeout_s:.0f} s ({log})")
            time.sleep(_POLL_S)
        said(f"{engine} is healthy after {time.monotonic() - started:.0f} s")


def template_values(engine: EngineSpec, start: Start) -> dict[str, str]:
    """Values that a template may name: those of the start, and of each kind of engine in its own flags."""
    values = start.values(engine)
    for launch in LAUNCHERS.values():
        values |= launch.values(engine, start)
    return values


def _supervised(template: Template, log: Path) -> subprocess.Popen[bytes]:
    """Start the engine below a supervisor of its own, and have both write to a log."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"$ {Secrets().redact(template.start)}\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(
            f"cannot write {log}: {error.strerror or error}; the ini key specdec_runs names another folder"
        ) from error
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "pytest_specdec.engine.supervise", template.start, template.stop],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches pytest only, which saves the measured points before it stops the engine.
            start_new_session=True,
        )


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


def _healthy(endpoint: Endpoint) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint.root}/health", timeout=5) as answer:  # noqa: S310 - our own URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _death(process: subprocess.Popen[bytes], log: Path, engine: EngineSpec) -> str:
    try:
        # A failed request may be quicker than the end of the process that failed it.
        process.wait(_DYING_S)
    except subprocess.TimeoutExpired:
        return ""
    return f"{engine} died while it was measured (exit code {process.returncode}). {_last_words(log)}"


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None, "unreachable because stdin is a pipe"
    process.stdin.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        _kill_tree(process)


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a supervisor that hangs, and the processes that it would have stopped."""
    tree = descendants(process.pid)
    os.killpg(process.pid, signal.SIGKILL)  # it leads a session of its own
    for pid in tree:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _last_words(log: Path) -> str:
    """Last lines of the log, without blank ones, and its path."""
    lines = [line.rstrip() for line in log.read_text(errors="replace").splitlines()[1:] if line.strip()]
    # Engines print their arguments, keys among them.
    last = "\n".join(f"  {line[:200]}" for line in map(Secrets().redact, lines[-_LAST_LINES:]))
    return f"Its log: {log}" + (f", which ends with:\n{last}" if last else ", which is empty")


def installed_version(python: str, distributions: Iterable[str]) -> str:
    """Version of the first of these packages that an interpreter's environment has; empty without any."""
    ask = (
        "import sys\nfrom importlib.metadata import distributions\n"
        "found = {d.name: d.version for d in distributions()}\n"
        "print(next((found[name] for name in sys.argv[1:] if name in found), ''))"
    )
    try:
        done = subprocess.run(  # noqa: S603 - the user's own interpreter
            [python, "-I", "-c", ask, *distributions], capture_output=True, text=True, check=False, timeout=_ASK_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
