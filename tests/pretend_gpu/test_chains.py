"""Every chain on a GPU: the pixels of the CPU, no tensor on the wrong side, and no more waiting than is allowed."""

import numpy as np
import pytest

from tests.pretend_gpu.chains import images

# Chain, scan, and how often the host may wait for the device behind the last line: what it does today. Each time it
# stands still until all that was queued is done, and the device idles until it has been told more; the aim is 3.
BUDGET = {
    ("sense", "lines"): 3,
    ("sense", "noisy"): 3,
    ("sense", "one side"): 5,
    ("sense_buffered", "lines"): 15,
    ("grappa", "lines"): 3,
    ("grappa", "spike"): 3,
    ("grappa_buffered", "lines"): 15,
    ("raki", "lines"): 3,
    ("raki_buffered", "lines"): 17,
    ("kband", "lines"): 7,
    ("kband", "many coils"): 7,
    ("kband", "held out"): 8,
    ("kband_buffered", "lines"): 20,
    ("epi_sense", "epi"): 15,
    ("epi_grappa", "epi"): 15,
    ("epi_kband", "epi"): 16,
    ("sense", "slab"): 4,
    ("grappa", "slab"): 9,
    ("kband", "slab"): 4,
    ("radial", "radial"): 9,
}
STEP = 1  # of a pixel's value: what is summed in other parts than on a CPU, then rounded
SUMMED_OTHERWISE = ("slab", "one side")


@pytest.mark.parametrize(("chain", "kind"), BUDGET)
def test_the_image_is_that_of_the_cpu(chain, kind, float32, request):
    """Whatever a tensor is mixed with on the wrong side raises, and a fallback would take its place: there is none.
    What is said of it is the same, too."""
    if kind == "radial":
        pytest.importorskip("finufft")
    on_cpu, said, _ = images(chain, kind, "cpu")
    waits = request.getfixturevalue("gpu")
    if chain.endswith("_buffered"):  # the first scan of a process tries a method out, which here would be behind
        images(chain.removesuffix("_buffered"), kind, "cuda")
    on_gpu, said_there, behind = images(chain, kind, "cuda")
    assert said_there == said
    for there, here in zip(on_gpu, on_cpu, strict=True):
        difference = np.abs(there.astype(int) - here.astype(int)).max()
        assert difference <= (STEP if kind in SUMMED_OTHERWISE else 0)
    assert waits
    assert sum(behind.values()) <= BUDGET[chain, kind], "\n".join(f"{n} {where}" for where, n in sorted(behind.items()))
