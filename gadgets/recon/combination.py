"""Coils combined and nothing else: of which images that is all there is to do, and what is left when all else fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gadgets.images.quantitative import GFACTOR
from gadgets.items import ReconBuffer
from gadgets.recon.combined import combined, sum_of_squares
from gadgets.recon.reconstruction import Map, Method, Reconstruction
from kband_core.fourier import partitions_to_image, to_image

MOST_LINES = 0.75  # of those announced: with fewer, lines were left out, whatever the header says


@dataclass(frozen=True)
class CoilCombination(Method):
    """The image of a buffer of which no line was left out, combined by its maps, if any, else by root sum of squares.

    Such an image has the noise of all samples: its g-factor is 1.
    """

    label: ClassVar[str] = "coil combination"

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        kspace = buffer.planes()[0]
        return combined(buffer, maps={GFACTOR.name: NoGain((len(kspace), *kspace.shape[-2:]))})


@dataclass(frozen=True)
class ZeroFilled(Method):
    """The root sum of squares of what was received, zeros elsewhere: it folds, but it needs nothing and cannot fail."""

    label: ClassVar[str] = "zero-filled"

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        kspace = torch.nan_to_num(buffer.kspace[0, 0, 0])
        planes = kspace.movedim(1, 0) if buffer.turned else partitions_to_image(kspace)
        return Reconstruction(sum_of_squares(to_image(planes), buffer))


@dataclass(frozen=True)
class NoGain(Map):
    """The g-factor where noise is not amplified."""

    shape: tuple[int, ...]

    def compute(self) -> Tensor:
        return torch.ones(self.shape)


def is_unaccelerated(buffer: ReconBuffer) -> bool:
    """Whether the header says that no line is left out, and most are there: then no kernel can be fitted."""
    return buffer.encoding.total_acceleration == 1 and _share_of_lines(buffer) > MOST_LINES


def never(buffer: ReconBuffer) -> bool:
    """Whether combining the coils would do: neither along a trajectory, nor of slices that were excited at once."""
    return False


def has_all_lines(buffer: ReconBuffer) -> bool:
    """Whether a single image has as many lines as the encoding: fewer than rows with partial Fourier and padding."""
    return _share_of_lines(buffer) >= 1


def has_all_samples(buffer: ReconBuffer) -> bool:
    """Whether a single image has every sample of its matrix, and maps: then SENSE is no more than their combination."""
    return buffer.csm is not None and buffer.plane_sampling.is_complete()


def _share_of_lines(buffer: ReconBuffer) -> float:
    if buffer.turned:
        return float(buffer.plane_sampling.here().mask.float().mean())
    lines = buffer.plane_sampling.here().lines()
    return int(lines.sum()) / min(len(buffer.encoding.step1), len(lines))
