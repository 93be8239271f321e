"""Random slices through a head: any orientation and place, larger or smaller than the field of view, bent."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kband_core.training.simulation.anatomy.heads import Head
from kband_core.training.simulation.random_fields import between

WHOLE, CUT = (185.0, 245.0), (110.0, 185.0)  # mm: fields of view that hold a head, and that cut it
FINEST = 0.35  # mm from one drawn pixel to the next: half of what is acquired
PLANES = {"axial": (1, 0), "coronal": (2, 0), "sagittal": (2, 1)}  # voxel axes of rows and columns
THROUGH = -75.0, 85.0  # mm from the middle of the head along the normal: places of slices
SLAB = 18.0  # mm over which the neck fades: volumes end there, and coils of a head see little of it
TISSUE, ENOUGH = 30, 0.2  # intensity of tissue; share of a slice that it must fill
TRIES = 6  # slices drawn until one does; the last goes through the middle


def random_slice(head: Head, shape: tuple[int, int], rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cut a slice of `shape`: intensities, 0 to 255, and how far within the skull, 0 to 1; float32 `(y, x)` both."""
    for left in reversed(range(TRIES)):
        places = _random_plane(head, shape, rng, anywhere=left > 0)
        coarse = sampled(head.intensity, places[:, ::8, ::8])
        if float((coarse > TISSUE).float().mean()) > ENOUGH:
            break
    places = places + _bending(shape, rng, float((places[:, -1, -1] - places[:, 0, 0]).norm()))
    end = torch.sigmoid((places[2] - SLAB / 2) / (SLAB / 8))
    return sampled(head.intensity, places) * end, sampled(head.cranial, places) / 255


def sampled(volume: Tensor, places: Tensor) -> Tensor:
    """Interpolate a uint8 volume linearly at voxel coordinates `(3, y, x)`, without a copy of it; 0 outside."""
    sides = torch.tensor(volume.shape)[:, None, None]
    inside = ((places >= 0) & (places <= sides - 1)).all(0)
    lower = torch.minimum(places.clamp(min=0).floor(), sides - 2.0)
    share = (places - lower).clamp(0, 1)
    strides = volume.stride()
    first = sum(lower[axis].int() * strides[axis] for axis in range(3))
    flat = volume.flatten()

    def corner(dx: int, dy: int, dz: int) -> Tensor:
        return flat[first + (dx * strides[0] + dy * strides[1] + dz * strides[2])].float()

    def edge(dx: int, dy: int) -> Tensor:
        return torch.lerp(corner(dx, dy, 0), corner(dx, dy, 1), share[2])

    faces = [torch.lerp(edge(dx, 0), edge(dx, 1), share[1]) for dx in (0, 1)]
    return torch.lerp(faces[0], faces[1], share[0]) * inside


def _random_plane(head: Head, shape: tuple[int, int], rng: torch.Generator, *, anywhere: bool) -> Tensor:
    """Where the pixels of a plane lie, in voxels `(3, y, x)`: through the middle of the head, or `anywhere`."""
    holds = float(torch.rand((), generator=rng)) < 0.65
    extent = between(*(WHOLE if holds else CUT), rng)
    spacing = max(extent / max(shape), FINEST)
    axes = _random_axes(rng)
    sizes = torch.tensor([math.exp(between(-0.12, 0.12, rng)) for _ in range(3)])  # of heads
    middle = (torch.tensor(head.intensity.shape) - 1) / 2
    beside = 12.0 if holds else 50.0
    shift = torch.tensor([between(-by, by, rng) for by in (beside, beside)] + [between(*THROUGH, rng)])
    rows, columns = (spacing * (torch.arange(n) - (n - 1) / 2) for n in shape)
    plane = axes[0][:, None, None] * rows[:, None] + axes[1][:, None, None] * columns
    return (middle + anywhere * axes.T @ shift)[:, None, None] + plane / sizes[:, None, None]


def _random_axes(rng: torch.Generator) -> Tensor:
    """Unit vectors of rows, columns and the normal, `(3, 3)`: mostly near one of the three planes of a head."""
    kind = float(torch.rand((), generator=rng))
    row, column = PLANES["axial" if kind < 0.55 else "coronal" if kind < 0.75 else "sagittal"]
    axes = torch.eye(3)[[row, column, 3 - row - column]]
    oblique = float(torch.rand((), generator=rng)) < 0.2
    tilt = between(0, math.pi if oblique else 0.35, rng)
    axes = axes @ _turned(tilt, torch.randn(3, generator=rng))
    quarter = int(torch.randint(4, (), generator=rng)) * math.pi / 2
    axes = _turned(quarter + between(-0.25, 0.25, rng), torch.tensor([0.0, 0.0, 1.0])) @ axes
    mirrored = 1 if float(torch.rand((), generator=rng)) < 0.5 else -1
    return axes * torch.tensor([1, mirrored, 1])[:, None]


def _turned(angle: float, axis: Tensor) -> Tensor:
    """The matrix of a turn about an axis."""
    x, y, z = (axis / axis.norm()).tolist()
    return torch.matrix_exp(angle * torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]]))


def _bending(shape: tuple[int, int], rng: torch.Generator, extent: float) -> Tensor:
    """Smooth displacements in voxels `(3, y, x)`: by a tenth of the distance over which they vary, so nothing folds."""
    n_knots = int(torch.randint(4, 9, (), generator=rng))
    knots = between(0, 0.08, rng) * extent / n_knots * torch.randn(3, n_knots, n_knots, generator=rng)
    return torch.nn.functional.interpolate(knots[None], size=shape, mode="bicubic", align_corners=True)[0]
