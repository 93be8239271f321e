"""Bands of k-space: which samples lie in one, how often a sample is visited, and the weight that makes up for it.

A band is a long box through DC, at (H//2, W//2). At angle 0 its long axis lies along the rows (axis 0) and it is
narrow in columns; positive angles turn it towards increasing columns. With row offset a and column offset b from DC,

    along the band  u = a cosθ + b sinθ,    across it  t = −a sinθ + b cosθ,

and a sample belongs to the band if −L/2 ≤ u < L/2 and −w/2 ≤ t < w/2. All lengths are counted in column steps Δkx;
`aspect` = Δky/Δkx = FOV_x/FOV_y is the length of a row step, so that angles are those of the scanner.

- `tangent`: area H·W/R at every angle, and the box touches the border of k-space; the width depends on the angle.
- `blade`: length H and width W/R at every angle, as a scanner turns one and the same blade.
- `strip`: the blade without ends.

At angle 0 all three are the same W/R columns. A box has no direction: angles count modulo 180°.

Wang et al., K-band, arXiv 2308.02958.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

Geometry = Literal["tangent", "blade", "strip"]

NODES_PER_DEGREE = 4  # of the integral over angles; between them the margin of a sample is nearly linear
AT_ONCE = 2**17  # samples times angles at once: 1 MiB stays in the cache, five times faster than 16
ON_THE_EDGE = 1e-9  # rounding must not decide on which side a sample on the edge of a band lies


def band_size(shape: tuple[int, int], acceleration: float, angle: float) -> tuple[float, float]:
    """Return length and width of a tangent band in column steps Δkx. Raises `ValueError` where no such band exists."""
    _check("band_size", shape, acceleration, "tangent", 1.0)
    length, width = _sizes("band_size", shape, acceleration, _modulo(angle), "tangent", 1.0)
    return length.item(), width.item()


def band_mask(
    shape: tuple[int, int], acceleration: float, angle: float, *, geometry: Geometry = "tangent", aspect: float = 1.0
) -> Tensor:
    """Return the samples of the band at `angle` degrees, bool `(ky, kx)`: about 1/`acceleration` of all.

    Raises `ValueError` where no such band exists: `tangent` bands exist at every angle from
    acceleration 2·max(H, W)/min(H, W) on.
    """
    _check("band_mask", shape, acceleration, geometry, aspect)
    angles = _modulo(angle)
    return _inside(shape, angles, *_sizes("band_mask", shape, acceleration, angles, geometry, aspect), aspect)[0]


def expected_coverage(
    shape: tuple[int, int],
    acceleration: float,
    *,
    geometry: Geometry = "tangent",
    angles: Sequence[float] | Tensor | None = None,
    aspect: float = 1.0,
) -> Tensor:
    """Return E[B], the share of bands that visit each sample: float64 `(ky, kx)`, 1 in the centre.

    For `angles` in degrees the exact mean of their masks; without, the integral over uniformly distributed angles.
    Raises `ValueError` where a band does not exist.
    """
    who = "expected_coverage"
    _check(who, shape, acceleration, geometry, aspect)
    if angles is not None:
        angles = _modulo(angles)
        length, width = _sizes(who, shape, acceleration, angles, geometry, aspect)
        visits = torch.zeros(shape, dtype=torch.float64)
        for part in torch.arange(len(angles)).split(max(1, AT_ONCE // (shape[0] * shape[1]))):
            visits += _inside(shape, angles[part], length[part], width[part], aspect).sum(0)
        return visits / len(angles)
    if geometry == "tangent":
        return _tangent_coverage(shape, acceleration, aspect)
    rows, columns = _offsets(shape, aspect)
    radius = torch.hypot(rows, columns)
    length, width = _sizes(who, shape, acceleration, _modulo(0), geometry, aspect)
    half_width = (width / 2 / radius).clamp(max=1)  # radius 0 gives infinity, hence 1
    half_length = (length / 2 / radius).clamp(max=1)
    return (2 / math.pi * (half_width.asin() - half_length.acos())).clamp(min=0)


def band_weight(
    shape: tuple[int, int],
    acceleration: float,
    *,
    geometry: Geometry = "tangent",
    angles: Sequence[float] | Tensor | None = None,
    aspect: float = 1.0,
    cap: float = 12.0,
) -> Tensor:
    """Weight each sample by the inverse of how often bands visit it: W = min(1/E[B], cap), 0 where no band comes.

    With W = 1/E[B] the weighted loss over one random band has the gradient of the full loss on average, as long as
    the network's input does not depend on the band. Where W is capped, the sample counts W·E[B] times instead of
    once: a known bias against the variance of the rarely visited rim. Returns float32 `(ky, kx)`; 1 in the centre,
    which every band visits.

    Wang et al., K-band, arXiv 2308.02958, Corollary 3.1.
    """
    if not cap >= 1:
        raise ValueError(f"band_weight: cap is {cap:g}, at least 1 needed")
    coverage = expected_coverage(shape, acceleration, geometry=geometry, angles=angles, aspect=aspect)
    return torch.where(coverage > 0, (1 / coverage).clamp(max=cap), 0).float()


def _check(who: str, shape: tuple[int, int], acceleration: float, geometry: str, aspect: float) -> None:
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"{who}: shape is {tuple(shape)}, but k-space has (ky, kx), each at least 1")
    if not 1 <= acceleration < math.inf:
        raise ValueError(f"{who}: acceleration is {acceleration:g}, at least 1 needed")
    if geometry not in get_args(Geometry):
        raise ValueError(f"{who}: no geometry '{geometry}'; there are {', '.join(get_args(Geometry))}")
    if not 0 < aspect < math.inf:
        raise ValueError(f"{who}: aspect is {aspect:g}, but it is the ratio of two lengths")


def _modulo(angles: float | Sequence[float] | Tensor) -> Tensor:
    """Angles `(n,)` float64 in [0, 180); a single number gives n = 1."""
    angles = torch.atleast_1d(torch.as_tensor(angles, dtype=torch.float64, device="cpu"))
    if angles.ndim != 1 or len(angles) == 0 or not angles.isfinite().all():
        raise ValueError(f"band angles {angles.tolist()}: a list of finite degrees needed")
    return angles % 180


def _offsets(shape: tuple[int, int], aspect: float) -> tuple[Tensor, Tensor]:
    """Distance from DC along each axis, `(ky, 1)` and `(1, kx)`."""
    rows, columns = (torch.arange(n, dtype=torch.float64) - n // 2 for n in shape)
    return rows[:, None] * aspect, columns[None]


def _sizes(
    who: str, shape: tuple[int, int], acceleration: float, angles: Tensor, geometry: Geometry, aspect: float
) -> tuple[Tensor, Tensor]:
    """Length and width `(n,)` of the bands at `angles` in [0, 180)."""
    height, breadth = shape[0] * aspect, float(shape[1])
    if geometry == "tangent":
        folded = torch.minimum(angles, 180 - angles)
        return _tangent_sizes(who, shape, acceleration, folded, aspect, folded < _diagonal(shape, aspect))
    length = math.inf if geometry == "strip" else height
    return torch.full_like(angles, length), torch.full_like(angles, breadth / acceleration)


def _diagonal(shape: tuple[int, int], aspect: float) -> float:
    """The angle from which on a tangent band touches the border of the columns instead of that of the rows."""
    return math.degrees(math.atan2(shape[1], shape[0] * aspect))


def _tangent_sizes(
    who: str, shape: tuple[int, int], acceleration: float, folded: Tensor, aspect: float, to_rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Solve L·w = A and L·p + w·q = N for angles in [0, 90]: area A, box of extent N along the border it touches."""
    height, breadth = shape[0] * aspect, float(shape[1])
    cos, sin = folded.deg2rad().cos(), folded.deg2rad().sin()
    extent = torch.where(to_rows, height, breadth).double()
    p, q = torch.where(to_rows, cos, sin), torch.where(to_rows, sin, cos)
    area = height * breadth / acceleration
    discriminant = 1 - 4 * area * p * q / extent**2
    if (discriminant < -ON_THE_EDGE).any():
        limit = 2 * max(height, breadth) / min(height, breadth)
        raise ValueError(
            f"{who}: no tangent band at {folded[discriminant.argmin()]:g}° in {shape[0]} x {shape[1]} for acceleration "
            f"{acceleration:g}; at every angle there is one from acceleration {limit:.4g} on"
        )
    length = extent * (1 + discriminant.clamp(min=0).sqrt()) / (2 * p)
    return length, area / length


def _inside(shape: tuple[int, int], angles: Tensor, length: Tensor, width: Tensor, aspect: float) -> Tensor:
    """Masks `(n, ky, kx)` of the bands at `angles`."""
    along, across = _rotate(*_offsets(shape, aspect), angles)
    length, width = length[:, None, None] / 2, width[:, None, None] / 2
    along, across = along + ON_THE_EDGE, across + ON_THE_EDGE
    return (along >= -length) & (along < length) & (across >= -width) & (across < width)


def _rotate(rows: Tensor, columns: Tensor, angles: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates along and across the bands at `angles`, `(n, ky, kx)` each."""
    radians = angles.deg2rad()[:, None, None]
    cos, sin = radians.cos(), radians.sin()
    return rows * cos + columns * sin, columns * cos - rows * sin


def _tangent_coverage(shape: tuple[int, int], acceleration: float, aspect: float) -> Tensor:
    """Integrate over angles from 0° to 90°, for both signs of the row: the bands beyond are mirror images.

    The size of the bands jumps at the diagonal of k-space, so each side of it is integrated by itself.
    """
    n_rows, n_columns = shape[0] // 2, shape[1] // 2
    rows = torch.arange(-n_rows, n_rows + 1, dtype=torch.float64)[:, None] * aspect
    columns = torch.arange(n_columns + 1, dtype=torch.float64)[None]
    diagonal = _diagonal(shape, aspect)
    degrees = torch.zeros(len(rows), n_columns + 1, dtype=torch.float64)
    for first, last, to_rows in ((0.0, diagonal, True), (diagonal, 90.0, False)):
        n_steps = math.ceil((last - first) * NODES_PER_DEGREE)
        nodes = torch.linspace(first, last, n_steps + 1, dtype=torch.float64)
        size = _tangent_sizes("expected_coverage", shape, acceleration, nodes, aspect, torch.tensor(to_rows))
        for part in torch.arange(n_steps).split(max(1, AT_ONCE // degrees.numel())):
            part = torch.cat((part, part[-1:] + 1))
            along, across = _rotate(rows, columns, nodes[part])
            length, width = (side[part, None, None] / 2 for side in size)
            margin = torch.minimum(width - across.abs(), length - along.abs())
            degrees += _positive_share(margin[:-1], margin[1:]).sum(0) * (last - first) / n_steps
    coverage = (degrees + degrees.flip(0))[n_rows:] / 180
    rows, columns = _offsets(shape, 1)
    return coverage[rows.abs().long(), columns.abs().long()]


def _positive_share(left: Tensor, right: Tensor) -> Tensor:
    """Share of an interval where the straight line from `left` to `right` is not negative."""
    share = (left.clamp(min=0) + right.clamp(min=0)) / (left.abs() + right.abs())
    return share.nan_to_num(1)  # zero at both ends
