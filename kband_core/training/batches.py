"""The batches of every step, each a pure function of the seed, the step and its place in the batch."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from kband_core.sampling import Grid
from kband_core.shots import Shots
from kband_core.threads import single_thread
from kband_core.training.example import Example
from kband_core.training.recipe import SupervisionRecipe
from kband_core.training.scans import Scans
from kband_core.training.supervision import Supervision

AHEAD = 2  # batches that a worker prepares


@dataclass(frozen=True)
class Batches(Dataset[Any]):
    """`batches[step]`: this process' examples of a step, stacked; or the `ValueError` that came of them."""

    scans: Scans
    supervision: SupervisionRecipe
    batch: int
    rank: int = 0
    n_ranks: int = 1

    def __getitem__(self, step: int) -> Example | ValueError:
        local = self.batch // self.n_ranks
        try:
            with single_thread():
                places = range(self.rank * local, (self.rank + 1) * local)
                batch = stack([self._example(step, place) for place in places])
                if get_worker_info() is not None:
                    _share(batch)
                return batch
        except ValueError as error:
            return error  # raised in a worker it would arrive as a traceback

    def _example(self, step: int, place: int) -> Example:
        plane, rng, angle = self.scans.draw(step, place, self.batch)
        return self._supervise(plane, rng, angle)

    @cached_property
    def _supervise(self) -> Supervision:
        return self.supervision.build()


def stack(examples: list[Example]) -> Example:
    """Give examples of one shape a leading batch axis; some may have lost lines, others samples."""
    samplings = [one.sampling for one in examples]
    together = (
        Shots(*(torch.stack([getattr(one, name) for one in samplings]) for name in ("coords", "weight")))
        if isinstance(samplings[0], Shots) else Grid(_stack([one.mask for one in samplings]))
    )  # fmt: skip
    names = [field.name for field in fields(Example) if field.name != "sampling"]
    arrays = {name: _stack([getattr(one, name) for one in examples]) for name in names}
    return Example(sampling=together, **arrays)


def _stack(arrays: list[Tensor]) -> Tensor:
    """A mask or weight of whole lines `(ky, 1)` becomes `(ky, kx)` beside one of samples."""
    return torch.stack(torch.broadcast_tensors(*arrays))


def _share(part: Any) -> None:
    """Move the tensors of an example to memory that the trainer sees. Raises `ValueError` where there is no room.

    Left to the queue between them, a failure would be a traceback of its thread, and the trainer would wait for ever.
    """
    for value in (getattr(part, field.name) for field in fields(part)):
        if isinstance(value, Tensor):
            try:
                value.share_memory_()
            except RuntimeError as error:
                raise ValueError(
                    f"no room to hand an example from process to process ({error}); --workers 0 needs none"
                ) from error
        elif is_dataclass(value):
            _share(value)


def to_device(example: Example, device: torch.device) -> Example:
    """Move an example to a device."""
    return Example(**{field.name: getattr(example, field.name).to(device) for field in fields(Example)})


def load(batches: Batches, first_step: int, n_steps: int, *, n_workers: int) -> Iterator[Example]:
    """Iterate over the batches of steps `first_step` to `n_steps` - 1, made ahead by `n_workers` processes."""
    loader = DataLoader(
        batches, batch_size=None, sampler=range(first_step, n_steps), num_workers=n_workers,
        prefetch_factor=AHEAD if n_workers else None, worker_init_fn=_leave_signals_to_the_trainer,
    )  # fmt: skip
    for example in loader:
        if isinstance(example, ValueError):
            raise example
        yield example


def _leave_signals_to_the_trainer(_: int) -> None:
    """A signal to the whole process group must let the trainer finish its step: a worker then ends without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
