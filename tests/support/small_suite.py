"""A small suite on the `tiny` simulated engine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from virtual_engines import VirtualHost

MATRIX = """
import pytest

pytestmark = pytest.mark.specdec(
    model="toy", precision="fp8", hardware="h200", parallelism="tp1",
    mtp=[0, 3], sequence="64x48", concurrency=[2, 4],
)
"""

HOLDS = """
def test_holds(measurement, baseline):
    assert measurement >= baseline
"""

PAYS = """
@pytest.mark.specdec(mtp=3)
def test_pays(comparison):
    assert comparison.at_concurrency(4).throughput_ratio > 0.01
"""


class Suite:
    """Files in, outcome out; simulated engines run on the virtual clock of `host`."""

    plugins: tuple[str, ...] = ()
    """Plugins that pytest loads besides ours; loading all that are installed takes a second."""

    def __init__(self, pytester: pytest.Pytester, host: VirtualHost) -> None:
        self.pytester = pytester
        self.host = host
        pytester.makeini(
            "[pytest]\nspecdec_window_s = 0.4\nspecdec_settle_s = 0.05\nspecdec_no_progress_s = 3\n"
            "specdec_sessions = 1x1\nspecdec_confirm = never\n"
            "specdec_gpu_hour_usd = 1.41\nspecdec_gpu_kw = 1.73\n"
        )

    def write(self, *parts: str) -> None:
        """Write the suite: the matrix and these tests."""
        self.pytester.makepyfile(test_suite="\n".join((MATRIX, *parts)))

    def run(self, *arguments: str, simulate: bool = True, cache: bool = False) -> pytest.RunResult:
        """Run it in this process, a minute of the virtual clock after what was before."""
        self.host.clock.now_s += 60
        simulated = ["--specdec-simulate", "tiny"] if simulate else []
        plugins = [f"-p{name}" for name in ("specdec", *self.plugins)] + ([] if cache else ["-pno:cacheprovider"])
        return self.pytester.runpytest_inprocess(*plugins, *simulated, *arguments)

    def start(self, *arguments: str, until: bytes) -> tuple[subprocess.Popen[bytes], bytes]:
        """Start it in a process of its own and return when it has said `until`, with all it has said."""
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-pspecdec", "-pno:cacheprovider", *arguments],
            cwd=self.pytester.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A shell ignores Ctrl-C for what it runs in the background, and a child inherits that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - it only sets a signal
        )
        assert process.stdout is not None
        said = b""
        while until not in said:
            line = process.stdout.readline()
            assert line, said.decode()
            said += line
        return process, said

    @property
    def baselines(self) -> dict[str, Path]:
        """Baseline files by name."""
        return {path.name: path for path in (self.pytester.path / "baselines").rglob("*.json")}

    def doctor(self, change: Callable[[list[float]], list[float]]) -> None:
        """Change the throughput of every stored point and gate nothing else; this machine's noise decides nothing."""
        for path in self.baselines.values():
            content = json.loads(path.read_text())
            for runs in content["points"].values():
                for run in runs:
                    run["by_prompt"] = run["acceptance"] = None
                    run["values"] = {
                        key: change(value) if key == "total_tok_s_gpu" else [value[0], value[0] * 0.001]
                        for key, value in run["values"].items()
                        if key in ("total_tok_s_gpu", "cost_usd_mtok")
                    }
            path.write_text(json.dumps(content))

    def saved_run(self) -> dict[str, Any]:
        """The newest saved run."""
        newest = max((self.pytester.path / ".specdec" / "runs").glob("*.json"), key=lambda p: p.stat().st_mtime_ns)
        content: dict[str, Any] = json.loads(newest.read_text())
        return content
