"""Every chain on a GPU: the pixels of the CPU, no tensor on the wrong side, and no more waiting than is allowed."""

import numpy as np
import pytest

from tests.pretend_gpu.chains import images

# Chain, scan, and how often the host may wait for the device behind the last line: what it does today. Each time it
# stands still until all that was queued is done, and the device idles until it has been told more; the aim is 3.
BUDGET = {
    ("sense", "lines"): 46,
    ("sense_buffered", "lines"): 70,
    ("grappa", "lines"): 44,
    ("grappa_buffered", "lines"): 68,
    ("raki", "lines"): 44,
    ("raki_buffered", "lines"): 70,
    ("kband", "lines"): 57,
    ("kband_buffered", "lines"): 81,
    ("epi_sense", "epi"): 70,
    ("epi_grappa", "epi"): 68,
    ("epi_kband", "epi"): 70,
    ("sense", "slab"): 20,
    ("grappa", "slab"): 43,
    ("kband", "slab"): 20,
    ("radial", "radial"): 18,
}
STEP = 1  # of a pixel's value: volumes are summed in other parts than on a CPU, then rounded


@pytest.mark.parametrize(("chain", "kind"), BUDGET)
def test_the_image_is_that_of_the_cpu(chain, kind, float32, request):
    """Whatever a tensor is mixed with on the wrong side raises, and a fallback would take its place: there is none."""
    if kind == "radial":
        pytest.importorskip("finufft")
    on_cpu, why, _ = images(chain, kind, "cpu")
    waits = request.getfixturevalue("gpu")
    on_gpu, why_there, behind = images(chain, kind, "cuda")
    assert why_there == why
    for there, here in zip(on_gpu, on_cpu, strict=True):
        difference = np.abs(there.astype(int) - here.astype(int)).max()
        assert difference <= (STEP if kind == "slab" else 0)
    assert waits
    assert sum(behind.values()) <= BUDGET[chain, kind], "\n".join(f"{n} {where}" for where, n in sorted(behind.items()))
