"""The report on a GPU is asked for when one is at hand for minutes: nothing that goes wrong there may cost the rest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.bad_parts import Bad

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_whole_report_runs_on_a_cpu(tmp_path):
    """Every part but those that only a GPU can answer, in tiny sizes; without this package in the path."""
    command = [sys.executable, BENCHMARKS / "gpu_report.py", "--device", "cpu", "--small", "-o", tmp_path / "report"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    report = json.loads((tmp_path / "report" / "gpu_report.json").read_text())
    assert {row["what"]: row["flaw"] for row in report["rows"] if row["flaw"]} == {}
    assert sum(row["got"] is not None for row in report["rows"]) >= 12
    assert report["machine"]["card"] == "none, CPU only"
    table = (tmp_path / "report" / "gpu_report.md").read_text().splitlines()
    assert len([line for line in table if line.startswith("|")]) == 2 + len(report["rows"])


@pytest.mark.parametrize(("name", "said"), [
    ("raises", "RuntimeError: CUDA error: an illegal memory access was encountered"),
    ("dies", "the process died"),
    ("hangs", "not finished within 8 s"),
])  # fmt: skip
def test_what_goes_wrong_is_a_row(name, said, monkeypatch):
    """What came before it is kept, and the next part meets a fresh process."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from gpu_report import Worker

    worker = Worker("cpu", small=True)
    try:
        rows = list(worker.rows(Bad(name), 8.0))
        assert [(row.what, row.flaw) for row in rows] == [("before", ""), (name, said)]
        assert [row.what for row in worker.rows(Bad("ends"), 60.0)] == ["before"]
    finally:
        worker.end()


def test_a_verdict_compares_with_the_aim(monkeypatch):
    """Times are to be short, speed-ups large; what failed reached nothing."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from gpu_parts.row import Row

    assert Row("image", 49.0, aim=50).verdict() == Row("step", 5.1, aim=5, more_is_better=True).verdict() == "reached"
    assert Row("image", 51.0, aim=50).verdict() == Row("step", 4.9, aim=5, more_is_better=True).verdict() == "missed"
    assert Row("image", aim=50, flaw="out of memory").verdict() == "no result"
