"""Two opposed half echoes, each a contrast of its own, joined to one full echo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from gadgets.errors import ScanError
from gadgets.gadget import field
from gadgets.items import Aside, Calibration, ReconBuffer
from gadgets.line_count import LineCount
from gadgets.receiving.image_lines import ImageKey
from kband_core.sampling import Grid

JoinEchoes = Annotated[bool, field(description="join two half echoes of opposed readouts, contrasts, to one full echo")]


def join_echoes(items: Iterable[Calibration | ReconBuffer | Aside]) -> Iterator[ReconBuffer | Aside]:
    """Wait with each half echo for that of another contrast which read the other half of kx, and join the two.

    No calibration runs ahead: that of a half echo would calibrate half of k-space. What finds no other half passes as
    it is, and its comment says so.
    """
    waiting: dict[ImageKey, ReconBuffer] = {}
    try:
        for item in items:
            if isinstance(item, Calibration):
                continue
            if isinstance(item, Aside) or item.measured_readout().all():
                yield item
            else:
                yield from _met(item, waiting)
    except ScanError:  # such as of lines set aside, behind the last image
        yield from map(_alone, waiting.values())
        raise
    yield from map(_alone, waiting.values())


def _met(half: ReconBuffer, waiting: dict[ImageKey, ReconBuffer]) -> Iterator[ReconBuffer]:
    """Join a half echo to the one that waits for it, or let it wait."""
    key = ImageKey.of(half.headers[0, 0, 0])
    other = next((at for at in waiting if at._replace(contrast=key.contrast) == key), None)
    if other is None:
        waiting[key] = half
    elif _are_halves(waiting[other], half):
        yield _joined(*sorted((waiting.pop(other), half), key=_contrast))
    else:
        yield from map(_alone, (waiting.pop(other), half))


def _contrast(buffer: ReconBuffer) -> int:
    return buffer.headers[0, 0, 0].idx.contrast


def _alone(half: ReconBuffer) -> ReconBuffer:
    first, stop = half.readout
    whole = half.kspace.shape[-1]
    remark = f"samples {first} to {stop - 1} of {whole} along kx, and no contrast that joins them to a full echo"
    return replace(half, problems=(*half.problems, remark))


def _are_halves(one: ReconBuffer, other: ReconBuffer) -> bool:
    """Whether two images share a sample along kx and measured all of them together, and calibrate in the same rows."""
    low, high = sorted((one.readout, other.readout))
    meet = low[0] == 0 and high[0] < low[1] and high[1] == one.kspace.shape[-1]
    acs = [None if half.acs is None else (half.acs.shape, half.acs_row) for half in (one, other)]
    return meet and one.kspace.shape == other.kspace.shape and acs[0] == acs[1]


def _joined(first: ReconBuffer, second: ReconBuffer) -> ReconBuffer:
    """The full echo: the second scaled to the first by the samples that both measured, which are averaged.

    Lines that only one of them has are left out.
    """
    lines = first.sampling.mask & second.sampling.mask
    shared = first.measured_readout() & second.measured_readout()
    ours, theirs = (half.kspace[..., shared] * lines.unsqueeze(3) for half in (first, second))
    scale = torch.linalg.vecdot(theirs.flatten(), ours.flatten()) / theirs.abs().square().sum()
    halves = first.measured_readout(), second.measured_readout()

    def joined(one: Tensor, other: Tensor) -> Tensor:
        return (one * halves[0] + scale * other * halves[1]) / (halves[0].float() + halves[1].float())

    acs = first.acs
    if acs is not None and not torch.equal(acs, second.acs):
        acs = joined(acs, second.acs)
    counts = np.empty_like(first.counts)
    counts[0, 0, 0] = _both(first.counts[0, 0, 0], second.counts[0, 0, 0])
    contrasts = _contrast(first), _contrast(second)
    said = f"half echoes of contrasts {contrasts[0]} and {contrasts[1]} joined, the second scaled by {scale.abs():.2f}"
    return replace(
        first, kspace=joined(first.kspace, second.kspace) * lines.unsqueeze(3), sampling=Grid(lines), acs=acs,
        counts=counts, readout=(0, first.kspace.shape[-1]), held_out=None,
        problems=(*dict.fromkeys((*first.problems, *second.problems)), said),
        notes={**first.notes, "kband_joined_contrasts": ", ".join(map(str, contrasts))},
    )  # fmt: skip


def _both(one: LineCount, other: LineCount) -> LineCount:
    """Lines of both echoes."""
    countable = one.expected is not None and other.expected is not None
    return LineCount(one.received + other.received, one.expected + other.expected if countable else None)
