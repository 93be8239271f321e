"""Heads to cut slices from: Colin Holmes' own, and one that has the average brain of 152 people in his skull."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from kband_core.training.simulation.anatomy.files import AVERAGE, BRAIN, HEAD, Volume, read_anatomy, whose

FLUID = 35  # T1-weighted intensity of cerebrospinal fluid in Colin's head; grey matter has 83, white 113
AVERAGED = 0.5  # from intensities of the average brain, 68, 165 and 223, to those
NEAR = 7  # mm: furrows and the film of fluid around a brain are within its mask, blurred by so much twice


@dataclass(frozen=True)
class Head:
    """A T1-weighted head, and where the space within its skull is, 0 to 255; uint8 `(x, y, z)`, 1 mm, both."""

    intensity: Tensor
    cranial: Tensor


@dataclass(frozen=True)
class Anatomy:
    """Heads, one line that says whose they are, and what tells these from others."""

    colin: Head
    average: Head
    provenance: str
    digest: str


@lru_cache(maxsize=1)
def anatomy() -> Anatomy:
    """Read the anatomy, once per process: 28 MB. Raises `ValueError`, one sentence, where it is not installed."""
    head, brain, average = volumes = [read_anatomy(name) for name in (HEAD, BRAIN, AVERAGE)]
    if brain.voxels.shape != head.voxels.shape:
        raise ValueError(
            f"anatomy: {BRAIN} has {'×'.join(map(str, brain.voxels.shape))} voxels, but {HEAD} "
            f"{'×'.join(map(str, head.voxels.shape))}; two files of one package expected"
        )
    cranial = _within_skull(brain.voxels)
    other = _placed(average, head)
    skull = torch.where(cranial > 127, torch.full_like(head.voxels, FLUID), head.voxels)
    filled = torch.where(other > 0, (AVERAGED * other).to(torch.uint8), skull)
    return Anatomy(
        Head(head.voxels, cranial),
        Head(filled, torch.maximum(cranial, _within_skull(other))),
        f"heads made of {whose(volumes)}",
        " ".join(volume.digest for volume in volumes),
    )


def _within_skull(brain: Tensor) -> Tensor:
    """Blur where a brain is, which fills its furrows and reaches 2 mm beyond; uint8."""
    share = (brain > 0).float()[None, None]
    for axis in (0, 1, 2) * 2:
        kernel = [NEAR if n == axis else 1 for n in range(3)]
        share = torch.nn.functional.avg_pool3d(share, kernel, stride=1, padding=[n // 2 for n in kernel])
    return (255 * ((share[0, 0] - 0.2) / 0.2).clamp(0, 1)).to(torch.uint8)


def _placed(volume: Volume, frame: Volume) -> Tensor:
    """Put a volume onto the voxels of another, by where both lie in mm; 0 where it does not reach."""
    placed = torch.zeros_like(frame.voxels)
    ours, theirs = [], []
    for axis in range(3):
        shift = volume.first_mm[axis] - frame.first_mm[axis]
        start = max(shift, 0)
        end = max(min(shift + volume.voxels.shape[axis], frame.voxels.shape[axis]), start)
        ours.append(slice(start, end))
        theirs.append(slice(start - shift, end - shift))
    placed[tuple(ours)] = volume.voxels[tuple(theirs)]
    return placed
