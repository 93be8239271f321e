"""Does a GPU give the pixels of the CPU? What `tests/gpu` asks of every method, also where pytest is missing."""

from __future__ import annotations

from collections.abc import Iterator

from gpu_parts.here import Here
from gpu_parts.row import Row
from kband_core.metrics import nmse
from tests.gpu.every_method import EQUAL, reconstructed


def equal_pixels(here: Here) -> Iterator[Row]:
    """The relative squared difference of every method."""
    for name in ("GRAPPA", "gradient of a training step") if here.small else EQUAL:
        on_cpu, there = reconstructed(name, "cpu"), reconstructed(name, here.device)
        yield Row(f"{name}: difference to the CPU", float(nmse(there, on_cpu)), unit="", aim=EQUAL[name][1])
