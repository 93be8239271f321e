"""Less memory than a reconstruction wants: smaller pieces, the same image, and a word about it."""

import pytest
import torch

from gadgets.errors import ScanError
from gadgets.recon import memory
from gadgets.recon.memory import within_memory
from kband_core.sampling import Grid

KSPACE = torch.arange(24.0).reshape(3, 2, 2, 2) + 1j
GRID, CSM = Grid(torch.ones(1, 2, 1, dtype=torch.bool)), torch.ones(3, 1, 2, 2, 2, dtype=torch.complex64)
NOISE = torch.ones(3)


def scarce(most_planes: int, error: Exception):
    """A reconstruction that has memory for `most_planes` planes, else raises `error`."""
    def reconstruct(kspace, sampling, csm, noise):
        assert len(kspace) == len(csm) == len(noise)
        assert len(sampling.mask) == 1
        if len(kspace) > most_planes:
            raise error
        return kspace.sum(1)

    return lambda: within_memory("SomeRecon", reconstruct, KSPACE, GRID, CSM, NOISE)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
        MemoryError(),
    ],
    ids=["CUDA", "CPU", "FFT", "NumPy"],
)
def test_partitions_one_by_one_give_the_same_volume(caplog, monkeypatch, error):
    """Planes are problems of their own; the log says that it took longer, and why."""
    monkeypatch.setattr(memory, "_ways", lambda here, n: [("at once", here, n), ("one by one", here, 1)])
    assert torch.equal(scarce(3, error)(), KSPACE.sum(1))
    assert caplog.messages == []
    assert torch.equal(scarce(1, error)(), KSPACE.sum(1))
    assert caplog.messages == [f"SomeRecon: not enough memory at once: {error}"]


def test_the_cpu_is_the_last_resort_of_a_gpu():
    """And on it a volume is never taken at once: that would gain nothing, and the machine's memory is everybody's."""
    gpu, cpu = torch.device("cuda", 1), torch.device("cpu")
    assert [way[1:] for way in memory._ways(gpu, 9)] == [(gpu, 9), (gpu, 1), (cpu, 1)]
    assert [way[1:] for way in memory._ways(cpu, 9)] == [(cpu, 1)]


def test_no_memory_anywhere_is_a_sentence():
    """The gadget falls back, and the image says why."""
    with pytest.raises(ScanError, match=r"^out of memory$"):
        scarce(0, MemoryError())()


def test_other_failures_are_not_tried_again():
    """A network that does not fit the maps does not fit them plane by plane either."""
    with pytest.raises(RuntimeError, match="size of tensor"):
        scarce(0, RuntimeError("The size of tensor a (8) must match"))()
