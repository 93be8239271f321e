"""The report on a GPU, on one: what mixes devices there must not be met when a real one is at hand for minutes."""

from pathlib import Path

import pytest

from tests.pretend_gpu.device import CUDA

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(
    "name",
    ["published_size", "small_size", "last_line_to_image", "raki", "gfactor", "espirit", "radial", "along_spokes"],
)
def test_a_part_runs_there(name, gpu, monkeypatch):
    """In tiny sizes; training steps have a test of their own, graphs and compilers know real ones only."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from gpu_parts import PARTS
    from gpu_parts.here import Here

    (part,) = (part for part in PARTS if part.name == name)
    rows = list(part.rows(Here(CUDA, small=True)))
    assert rows
    assert all(row.got is not None and not row.flaw for row in rows)
