"""The document of the page and the file around it, without a browser; tests/web opens it in one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import ENVIRONMENT, measured
from msgspec.structs import replace

from pytest_specdec.__main__ import main
from pytest_specdec.domain.cell import Workload
from pytest_specdec.report.html import json_block, page
from pytest_specdec.report.page_data import run_document
from pytest_specdec.report.page_document import PageDocument
from pytest_specdec.results.measurement import Measurement
from pytest_specdec.results.run import Run, save_run
from pytest_specdec.speculation.health import Finding

OFF = [measured(c, throughput=y, interactivity=x) for c, x, y in ((4, 120.0, 120.0), (16, 70.0, 280.0))]
MTP = [measured(c, mtp=3, throughput=y, interactivity=x) for c, x, y in ((4, 160.0, 160.0), (16, 96.0, 380.0))]


def run_of(*measurements: Measurement, complete: bool = True, **fields: object) -> Run:
    return Run(
        tool_version="0.1.0",
        started_at="2026-11-23T12:00:00+00:00",
        complete=complete,
        measurements=measurements,
        **fields,  # type: ignore[arg-type]
    )


def labels(document: PageDocument) -> list[str]:
    return [curve.label for curve in document.curves]


@given(st.text())
def test_no_name_ends_the_block_that_it_stands_in(name: str) -> None:
    document = run_document(run_of(not_measured={name: name}))
    block = json_block(document)
    assert not set("<>&\u2028\u2029") & set(block)
    assert json.loads(block)["remarks"] == list(document.remarks)


def test_the_policy_names_the_hashes_of_its_own_script_and_style() -> None:
    html = page(run_of(*OFF, *MTP))
    policy = html.split('http-equiv="Content-Security-Policy" content="')[1].split('"')[0]
    assert "default-src 'none'" in policy
    for tag in ("script", "style"):
        text = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert len(text) == 1
        digest = base64.b64encode(hashlib.sha256(text[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_file_stands_alone() -> None:
    html = page(run_of(*OFF))
    assert re.findall(r"(?:src|href)=\"(?!#|data:)", html) == []
    assert re.findall(r"@import|url\(", html) == ["url("], "the chart's own clip path"


def test_two_modes_are_compared_and_curves_are_told_apart_by_what_differs() -> None:
    document = run_document(run_of(*OFF, *MTP))
    assert labels(document) == ["Off", "MTP 3"]
    assert [c.names for c in document.comparisons] == [("MTP 3", "Off")]
    longer = Workload(isl=8192, osl=1024)
    other = [replace(m, cell=replace(m.cell, workload=longer)) for m in OFF]
    assert labels(run_document(run_of(*OFF, *other))) == ["Off 1k1k", "Off 8k1k"]


def test_an_earlier_run_stands_beside_the_later_one() -> None:
    older = [replace(m, environment=replace(ENVIRONMENT, version="0.19.0")) for m in (*OFF, *MTP)]
    document = run_document(run_of(*OFF, *MTP), reference=run_of(*older))
    assert labels(document) == [
        "Off 0.20.0 · now",
        "MTP 3 0.20.0 · now",
        "Off 0.19.0 · baseline",
        "MTP 3 0.19.0 · baseline",
    ]
    assert [c.of for c in document.comparisons] == ["modes", "modes", "runs", "runs"]
    assert any("version differs" in caution for c in document.comparisons for caution in c.cautions)
    assert len(document.environments) == 2


def test_what_cannot_be_compared_is_a_remark_and_not_an_error() -> None:
    moved = [replace(m, environment=replace(ENVIRONMENT, hardware="h100")) for m in MTP]
    document = run_document(run_of(*OFF, *moved, complete=False))
    assert document.comparisons == ()
    assert any("not comparable: hardware differs" in remark for remark in document.remarks)
    assert document.remarks[0].startswith("This run is incomplete")


def test_a_finding_that_a_note_tells_stands_once_with_its_point() -> None:
    broken = Finding(check="drafter-broken", severity="broken", words="the first draft token is hardly ever accepted")
    queued = Finding(check="queue-limited", severity="warning", words="queue-limited: 3 requests were waiting")
    later = Finding(check="queue-limited", severity="warning", words="queue-limited: 4 requests were waiting")
    untold = Finding(check="gauge-lies", severity="warning", words="the gauge says 3.90 tokens per step")
    notes = ("mean of 2 runs", broken.words, f"{queued.words} (in 2 of 2 runs)")
    point = replace(MTP[0], findings=(broken, queued, later, untold), notes=notes)
    (shown,) = run_document(run_of(point)).points
    assert shown.notes == (untold.words, *notes)


def test_a_metric_that_nobody_has_is_left_out_and_a_missing_number_is_null() -> None:
    document = run_document(run_of(*OFF, measured(8, mtp=3, acceptance=2.5)))
    keys = [metric.key for metric in document.metrics]
    assert "acceptance_length" in keys
    assert "goodput_req_s" not in keys
    assert [point.values[keys.index("acceptance_length")] is None for point in document.points] == [True, True, False]


def test_the_commands_write_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("old", "new"):
        save_run(run_of(*OFF, *MTP), tmp_path / f"{name}.json")
    assert main(["report", str(tmp_path / "new.json"), "--html", str(tmp_path / "one.html")]) == 0
    files = [str(tmp_path / name) for name in ("old.json", "new.json")]
    assert main(["compare", *files, "--html", str(tmp_path / "two.html")]) == 0
    data = Path(__file__).parent.parent / "data" / "inferencex" / "benchmarks_c32.json"
    benchmarks = data.with_name("benchmarks.json")
    narrowed = ["--framework", "sglang", "--date", "2026-05-17,2026-05-20", "--html", str(tmp_path / "three.html")]
    assert main(["compare", str(benchmarks), *narrowed]) == 0
    said = capsys.readouterr().out
    for name, curves in (("one", 2), ("two", 4), ("three", 4)):
        assert f"wrote {tmp_path / name}.html" in said
        html = (tmp_path / f"{name}.html").read_text()
        document = json.loads(html.split('id="data">')[1].split("</script>")[0])
        assert len(document["curves"]) == curves
