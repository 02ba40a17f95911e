"""The gate on a real vLLM: upgrades to the same engine, to a weak drafter, and to an engine that is a little too slow.

    SPECDEC_VLLM_PYTHON=... python tests/engine/gate.py [UPGRADES] [FOLDER]
    SPECDEC_VLLM_PYTHON=... python tests/engine/gate.py pairs UPGRADES FOLDER
    python tests/engine/gate.py report

The deepened tiny model, Off and MTP 3 at concurrency 4. A selftest of three sessions of two runs becomes the baseline
and says what the gate can find. Then come the weak drafter, a target so much deeper that Off loses at least twice what
the selftest says is found, both offered as baselines, and UPGRADES (five) to the engine itself, the old one beside it.
Half an hour on two quiet cores. `pairs` goes on in the same FOLDER with upgrades of Off alone that have the time for a
dozen pairs. `results/gate.json` is rewritten after every suite; `report` prints the tables.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from live import HERE, MODEL, RECIPE
from tabulate import tabulate
from tiny_suite import accept, content, lay_out, make_model, measure, newest_run

from pytest_specdec.gate.noise_file import load_noise
from pytest_specdec.gate.prediction import Reach, reach

RESULTS = HERE / "results" / "gate.json"
LAYERS = 12
"""Of the healthy target besides its own two: the engine, not the client, is what such a machine spends its time on."""
MORE_LAYERS = 8
"""From which the time of one layer is read."""
AIMED = 2.3
"""Times the detectable loss that the slow engine is made to lose."""
NOISE = "1.2"
"""On the weak drafter's weights."""
BUDGET = "--specdec-budget=3min"
"""Of an upgrade to the same engine: what is undecided then is inconclusive."""
BUDGET_OF_PAIRS = "--specdec-budget=9min"
PLAN = ("--specdec-only=mtp=0,3", "--specdec-only=concurrency=4", "--specdec-window=6")
OFF = ("--specdec-only=mtp=0", *PLAN[1:])
START = RECIPE.replace("{python}", "nice -n 5 {python}", 1)
"""Engine and client share the machine: the client first, or its lateness would be the engine's."""
QUIET_LOAD, MOST_WAIT_S = 3.0, 600
"""A suite starts when the machine's load is below this, or after so many seconds all the same."""
METRIC = "total_tok_s_gpu"
Numbers = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Study:
    """What was found so far; written after every suite."""

    folder: Path
    found: Numbers = field(default_factory=lambda: {"selftest": [], "suites": [], "refused": {}})

    def suite(self, name: str, *arguments: str, engine: str = MODEL.name, beside: bool = True) -> Numbers:
        """Measure one suite and keep the essence of its verdicts.

        Args:
            name: For the tables.
            arguments: Of pytest.
            engine: Folder of the engine's model; the suite knows it by the healthy one's name.
            beside: Whether the old engine may be started too.
        """
        load = _wait_until_quiet()
        print(f"--- {name}, at load {load:.1f}", flush=True)
        command = ["-o", f"specdec_launch_command={START.replace('serve {model}', f'serve {engine}')}"]
        command += ["-o", f"specdec_reference_launch_command={START}"]
        command += ["--specdec-confirm=auto"]
        command += ["--specdec-reference-launch=vllm"] if beside else []
        started = time.monotonic()
        exit_code, output = measure(self.folder, *command, *arguments, said=_show)
        (self.folder / f"{len(self.found['suites'])}.txt").write_text(output)
        run = newest_run(self.folder)
        # A run that was not made must not pass for the one before it.
        if exit_code not in (0, 1) or run.name in {suite["saved_run"] for suite in self.found["suites"]}:
            sys.exit(f"{name} was not measured: exit code {exit_code}\n{output[-2000:]}")
        found = {
            "name": name,
            "exit_code": exit_code,
            "minutes": round((time.monotonic() - started) / 60, 1),
            "load_before": round(load, 1),
            **essence(content(run)),
        }
        self.found["suites"].append(found | {"saved_run": run.name})
        self.write()
        return found

    def run_of(self, name: str) -> Path:
        """Saved run of a suite."""
        (found,) = (suite for suite in self.found["suites"] if suite["name"] == name)
        return self.folder / ".specdec" / "runs" / str(found["saved_run"])

    def write(self) -> None:
        """Keep what there is."""
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(self.found, indent=1) + "\n")


def essence(run: Numbers) -> Numbers:
    """Verdicts and decisions without the measurements."""
    decisions = run["decision"]["decisions"] if run["decision"] else []
    keys = ("cell", "metric", "outcome", "evidence", "loss", "low", "high", "runs", "pairs", "p_adjusted", "gateable")
    throughput = {f"mtp{m['cell']['engine']['mtp']}": m["values"][METRIC][0] for m in run["measurements"]}
    return {
        "outcome": run["decision"]["outcome"] if run["decision"] else None,
        "cells": {f"mtp{v['cell']['engine']['mtp']}": v["outcome"] for v in run["verdicts"]},
        "reasons": [v["reason"] for v in run["verdicts"] if v["reason"]],
        "causes": [v["diagnosis"]["sentence"] for v in run["verdicts"] if v["diagnosis"]],
        "stopped": run["decision"]["stopped"] if run["decision"] else "",
        "runner_factor": run["decision"]["runner_factor"] if run["decision"] else {},
        "throughput": throughput,
        "server_starts": run["cost"]["server_starts"],
        "decisions": [{key: _short(decision[key]) for key in keys} for decision in decisions],
    }


def main(upgrades: int, folder: Path) -> None:
    print(f"everything that is measured lies in {folder}", flush=True)
    make_model("deepen_target.py", lay_out(folder) / MODEL.name, str(LAYERS))
    study = Study(folder=folder)
    learned = study.suite(
        "selftest", *PLAN, "--specdec-selftest", "--specdec-update=all", "--specdec-sessions=3x2", beside=False
    )
    if learned["exit_code"] or not list((folder / "baselines").rglob("vllm-*.json")):
        sys.exit(f"there is no baseline, see {folder / '0.txt'}")
    (noise,) = (folder / "baselines").rglob("noise-*.json")
    predicted = reach(load_noise(noise))
    study.found["selftest"] = [_row(one) for one in predicted]
    study.write()
    (off,) = (one for one in predicted if one.metric == METRIC and "-off-" in one.cell)

    make_model("weaken_drafter.py", folder / "weak", NOISE, source=folder / MODEL.name)
    study.suite("weak drafter", *PLAN, "--specdec-confirm=never", engine="weak")

    make_model("deepen_target.py", folder / "deep", str(MORE_LAYERS), source=folder / MODEL.name)
    deep = study.suite("deeper target, to see what a layer takes", *OFF, "--specdec-confirm=never", engine="deep")
    layers = layers_for(AIMED * off.detectable, learned["throughput"]["mtp0"], deep["throughput"]["mtp0"])
    print(
        f"{off.cell}: the gate finds {off.detectable:.1%}, twice that in {off.pairs_of_double} pairs: +{layers} layers"
    )
    make_model("deepen_target.py", folder / "slow", str(layers), source=folder / MODEL.name)
    study.suite("slow engine", *OFF, engine="slow")
    for name in ("weak drafter", "slow engine"):
        exit_code, said = accept(folder, study.run_of(name))
        study.found["refused"][name] = {"exit_code": exit_code, "said": said.strip()}
    study.write()

    for number in range(upgrades):
        study.suite(f"same engine {number + 1}", *PLAN, BUDGET)
    print(report(study.found))


def more_pairs(upgrades: int, folder: Path) -> None:
    """Upgrades to the same engine that have the time to be confirmed."""
    study = Study(folder=folder, found=json.loads(RESULTS.read_text()))
    for number in range(upgrades):
        study.suite(f"same engine, Off, {number + 1}", *OFF, BUDGET_OF_PAIRS)
    print(report(study.found))


def layers_for(loss: float, healthy: float, deeper: float) -> int:
    """Layers that cost at least this share of the throughput, when `MORE_LAYERS` bring it from healthy to deeper."""
    per_layer = (1 / deeper - 1 / healthy) / MORE_LAYERS
    return max(1, math.ceil((1 / (healthy * (1 - loss)) - 1 / healthy) / per_layer))


def report(found: Numbers) -> str:
    """The tables of the documentation."""
    rows = []
    for suite in found["suites"][1:]:
        outcomes = Counter(decision["outcome"] for decision in suite["decisions"])
        pairs = max((decision["pairs"] for decision in suite["decisions"]), default=0)
        cells = ", ".join(f"{mode} {outcome}" for mode, outcome in suite["cells"].items())
        counted = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        lost = ", ".join(_lost(decision) for decision in suite["decisions"] if decision["metric"] == METRIC)
        spent = [pairs, suite["server_starts"], suite["minutes"], suite["load_before"]]
        rows.append([suite["name"], cells, counted, lost, *spent])
    headers = ["candidate", "cells", "metrics and checks", "throughput lost", "pairs", "starts", "minutes", "load"]
    selftest = [
        [
            one["cell"].removeprefix(f"{MODEL.name}-fp32-"),
            one["metric"],
            f"{one['run_sd']:.2%}",
            f"{one['session_sd']:.2%}",
            f"{one['detectable']:.1%}",
            "advisory" if one["advisory"] else "yes" if one["gateable"] else "no",
            one["pairs_of_double"],
        ]
        for one in found["selftest"]
    ]
    learned = ["cell", "metric", "run to run", "start to start", "MDE", "gated", "pairs for 2x MDE"]
    refused = [f"{name}: exit code {one['exit_code']}, `{one['said']}`" for name, one in found["refused"].items()]
    tables = (tabulate(selftest, learned, tablefmt="github"), tabulate(rows, headers, tablefmt="github"))
    return "\n\n".join((*tables, *refused))


def _wait_until_quiet() -> float:
    """Other people's work on the machine is noise that no gate can see through. Returns the load."""
    until = time.monotonic() + MOST_WAIT_S
    while (load := os.getloadavg()[0]) > QUIET_LOAD and time.monotonic() < until:
        time.sleep(5)
    return load


def _lost(decision: Numbers) -> str:
    loss, low, high = (decision[key] for key in ("loss", "low", "high"))
    mode = "off" if "-off-" in decision["cell"] else "mtp3"
    return f"{mode} unknown" if loss is None else f"{mode} {loss:.1%} ({low:.1%} to {high:.1%})"


def _row(one: Reach) -> Numbers:
    keys = ("cell", "metric", "run_sd", "session_sd", "detectable", "pairs_of_double", "gateable", "advisory")
    return {key: _short(getattr(one, key)) for key in keys}


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _show(line: str) -> None:
    if line.startswith(("specdec: confirming", "  [", "baselines were", "cost of the run", "E ")):
        print(line[:200], flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["report"]:
        print(report(json.loads(RESULTS.read_text())))
    elif sys.argv[1:2] == ["pairs"]:
        more_pairs(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        count = int(sys.argv[1]) if len(sys.argv) > 1 else 5
        main(count, Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp()))
