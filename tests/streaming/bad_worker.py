"""A worker that also knows gadgets which misbehave; servers under test run it, others cannot."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import ismrmrd
import numpy as np
import torch

from gadgets.gadget import Gadget
from gadgets.items import Aside, ReconBuffer
from pipelines.chain import turns
from pipelines.hosts import worker

FOREVER = 1e6  # seconds


def _raise() -> None:
    raise KeyError("coil 7")


def _eat() -> None:
    eaten = []
    while True:
        eaten.append(np.empty(1 << 23))  # 64 MB


def _leave_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(FOREVER,), daemon=True).start()


HOW: dict[str, Callable[[], object]] = {
    "raises": _raise,
    "hangs": lambda: time.sleep(FOREVER),
    "spins": lambda: [None for _ in iter(int, 1)],
    "exits": lambda: os._exit(3),
    "leaves": lambda: sys.exit(0),
    "crashes": lambda: ctypes.string_at(0),
    "eats": _eat,
    "forks_a_thread": _leave_a_thread,
}


@dataclass
class BadGadget(Gadget):
    """Lets `after` lines pass, or all if it is -1, then does what `how` says."""

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)

    how: Literal[tuple(HOW)] = "raises"
    after: int = -1

    def process(self, items: Iterable[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Acquisition]:
        for number, item in enumerate(items):
            if number == self.after:
                HOW[self.how]()
            yield item
        if self.after < 0:
            HOW[self.how]()


@dataclass
class Snow(Gadget):
    """Makes `n_images` of `size`² pixels, `pause` seconds apart, at the end of the scan."""

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Image,)

    n_images: int = 1
    size: int = 8
    pause: float = 0.0

    def process(self, items: Iterable[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Image]:
        for _ in items:
            pass
        for number in range(self.n_images):
            time.sleep(self.pause)
            pixels = np.full((1, 1, self.size, self.size), number, np.float32)
            yield ismrmrd.Image.from_array(pixels, transpose=False, image_index=number + 1)


@dataclass
class Talker(Gadget):
    """Lets lines pass, and says something of each kind of `Aside` behind the first."""

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)

    def process(self, items: Iterable[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Acquisition | Aside]:
        for number, item in enumerate(items):
            yield item
            if number == 0:
                yield Aside("progress", "the first line\n is here")
                yield Aside("warning", "it is " + "long " * 1000)
                next_line = np.array([[3], [0]], np.uint32)  # ky, kz
                yield Aside("feedback", "measure line 3", ismrmrd.Waveform.from_array(next_line, waveform_id=1024))


@dataclass
class SnowOnGpu(Snow):
    """The same, in turn with others that compute on a GPU: the lock needs none."""

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition, ReconBuffer)
    computes_on: ClassVar[torch.device] = torch.device("cuda", 0)


if __name__ == "__main__":
    turns.SECONDS_BETWEEN_WORDS = 0.2
    worker.main(int(sys.argv[1]), int(sys.argv[2]))
