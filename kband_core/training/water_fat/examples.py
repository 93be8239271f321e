"""Examples of echoes with their maps: simulated scans, drawn once, turned and mirrored anew whenever they are met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kband_core.relaxometry.learned import start_of
from kband_core.relaxometry.projection import SliceEchoes
from kband_core.training.simulation.procedural_echoes import EchoScan


@dataclass(frozen=True)
class Example:
    """Slices with a first R2* and field, and their true maps `(b, y, x)`; brightness and noise as in `Start`."""

    echoes: SliceEchoes
    noise: Tensor
    r2star: Tensor
    b0: Tensor
    truth: tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Slice:
    """One slice of them, before it is put together with others: `signal` and `maps`, a first R2*, field and the truth,
    `(..., y, x)`.
    """

    signal: Tensor
    times_ms: tuple[float, ...]
    field_t: float
    noise: Tensor
    maps: tuple[Tensor, ...]


def slice_of(scan: EchoScan) -> Slice:
    """Start as at work, and scale the truth alike."""
    start, truth = start_of(scan.echoes, scan.times_ms, scan.field_t), scan.truth
    water, fat = truth.water * start.scale, truth.fat * start.scale
    return Slice(start.echoes.signal[0], scan.times_ms, scan.field_t, start.noise[0],
                 (start.r2star[0], start.b0[0], water, fat, truth.r2star, truth.b0))  # fmt: skip


def example_of(slices: Sequence[Slice], turns: Sequence[int] | None = None) -> Example:
    """Put slices together, each turned and mirrored by its number of `turns`, 0 to 7."""
    turned = [_turned(one, turn) for one, turn in zip(slices, turns or [0] * len(slices), strict=True)]
    echoes = SliceEchoes.of([(one.signal, one.times_ms, one.field_t) for one in turned])
    r2star, b0, *truth = (torch.stack(maps) for maps in zip(*(one.maps for one in turned), strict=True))
    return Example(echoes, torch.stack([one.noise for one in turned]), r2star, b0, tuple(truth))


def _turned(one: Slice, turn: int) -> Slice:
    def move(image: Tensor) -> Tensor:
        image = torch.rot90(image, turn % 4, (-2, -1))
        return image.mT if turn >= 4 else image

    return replace(one, signal=move(one.signal), maps=tuple(move(each) for each in one.maps))
