"""Which way shots point, and how many of them fill k-space: spokes, and interleaves such as the arms of a spiral."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

STRAIGHT = 0.01  # of a spoke's length: as far as its samples may lie beside it
ALIKE = 0.01  # cycles per pixel: as far as interleaves, turned back, may lie from one another


def shot_angles(coords: Tensor) -> tuple[Tensor, int]:
    """Return the angles of shots `(shot, sample, 2)` in degrees, float64 `(shot,)`, and modulo which: 180 of spokes,
    360 of interleaves. Raises `ValueError` for shots that are neither.
    """
    if shot_kind(coords) == "spokes":
        return spoke_angles(coords), 180
    return interleaf_angles(coords), 360


def shot_kind(coords: Tensor) -> Literal["spokes", "shots"]:
    """Tell whole spokes through the centre from all other shots, as cards of models do."""
    try:
        spoke_angles(coords)
    except ValueError:
        return "shots"
    return "spokes"


def spoke_angles(coords: Tensor) -> Tensor:
    """Return the angles of spokes `(shot, sample, 2)`, degrees from kx towards ky, modulo 180; float64 `(shot,)`.

    Raises `ValueError` for shots that are not straight, or that begin in the centre.
    """
    along = (coords[:, -1] - coords[:, 0]).double()
    length = torch.linalg.vector_norm(along, dim=-1, keepdim=True)
    beside = coords - coords[:, :1]
    distance = (beside[..., 0] * along[:, None, 1] - beside[..., 1] * along[:, None, 0]).abs() / length
    n_bent = int((distance > STRAIGHT * length).any(-1).sum())
    if n_bent:
        raise ValueError(f"spokes: {n_bent} of {len(coords)} shots are not straight")
    ends = torch.linalg.vector_norm(coords[:, [0, -1]].double(), dim=-1)
    n_half = int((ends.min(-1).values < 0.25 * ends.max(-1).values).sum())
    if n_half:
        raise ValueError(f"spokes: {n_half} of {len(coords)} shots begin near the centre; whole spokes expected")
    return torch.atan2(along[:, 0], along[:, 1]).rad2deg() % 180


def interleaf_angles(coords: Tensor) -> Tensor:
    """Return by how much interleaves `(shot, sample, 2)` are turned against the first, degrees from kx towards ky,
    modulo 360, plus the angle at which that one ends; float64 `(shot,)`.

    Any curve will do, half spokes too. Raises `ValueError` for shots that are not one curve, turned about the centre.
    """
    ky, kx = coords.double().unbind(-1)
    place = torch.complex(kx, ky)
    turn = (place * place[:1].conj()).sum(-1).sgn()
    n_unlike = int(((place - turn[:, None] * place[:1]).abs() > ALIKE).any(-1).sum())
    if n_unlike:
        raise ValueError(f"shots: {n_unlike} of {len(coords)} are neither spokes nor the first one turned")
    return (turn * place[0, -1]).angle().rad2deg() % 360


def nyquist_spokes(shape: tuple[int, int]) -> int:
    """Count the spokes that lie no farther apart at the rim than the samples of a grid `(y, x)`: π/2 of its side."""
    return math.ceil(math.pi / 2 * max(shape))


def nyquist_shots(coords: Tensor, shape: tuple[int, int]) -> int:
    """Count the shots like those at `coords` `(shot, sample, 2)` that leave no gap wider than the field of view allows.

    Interleaves turned by δ are r·δ·|dr/ds| apart, s being the length of their curve: 1/N at most, wherever that is
    widest. Raises `ValueError` for shots that are neither spokes nor interleaves.
    """
    _, turn = shot_angles(coords)
    if turn == 180:
        return nyquist_spokes(shape)
    radius = torch.linalg.vector_norm(coords[0].double(), dim=-1)
    length = torch.linalg.vector_norm(torch.diff(coords[0].double(), dim=0), dim=-1)
    outwards = torch.diff(radius).abs() / length.clamp(min=torch.finfo(torch.float32).tiny)
    widest = float(((radius[1:] + radius[:-1]) / 2 * outwards).max())
    return math.ceil(2 * math.pi * widest * max(shape))
