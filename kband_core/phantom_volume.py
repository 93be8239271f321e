"""The head of `phantom` as a volume, with k-space from formulas: ellipsoids, seen by rings of coils above each other.

Lengths are in head boxes along all axes, z from the base of the head (−) to its vertex.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.phantom import HEAD, SinusoidalCoils, grid_frequencies, loop_coils, shifted_frequencies

Z_FREQUENCIES = (-0.5, 0.0, 0.5)  # of the sensitivities along z, in cycles per box: they repeat after two boxes
RINGS_AT = 0.4  # the outer rings lie as far from the centre, in boxes: the head ends at 0.575


@dataclass(frozen=True)
class Ellipsoid:
    """A uniform ellipsoid: semi-axes and centre in boxes, `angle` from x towards y in radians."""

    intensity: float
    semi: tuple[float, float, float]  # z, y, x
    centre: tuple[float, float, float]
    angle: float

    def kspace(self, kz: Tensor, ky: Tensor, kx: Tensor) -> Tensor:
        """Evaluate ∫ ellipsoid · e^{-2πi k·r} dr in closed form; the arguments broadcast, complex128.

        The ball of radius one has (sin 2πq − 2πq cos 2πq)/(2π²q³), and 4π/3 at q = 0.
        """
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        along_y, along_x = cos * ky - sin * kx, sin * ky + cos * kx
        squares = (along_y * self.semi[1]).square() + (along_x * self.semi[2]).square() + (kz * self.semi[0]).square()
        q = 2 * math.pi * squares.sqrt()
        ball = torch.where(q < 1e-3, 1 / 3 - q.square() / 30, (q.sin() - q * q.cos()) / q**3) * 4 * math.pi
        z, y, x = self.centre
        phase = -2 * math.pi * (kz * z + ky * y + kx * x)
        return torch.polar(self.intensity * math.prod(self.semi) * ball, phase)


def head_ellipsoids() -> tuple[Ellipsoid, ...]:
    """The head whose slices `head_phantom` cuts."""
    return tuple(
        Ellipsoid(
            intensity, (semi_z / 2, semi_y / 2, semi_x / 2), (z / 2, y / 2, x / 2), math.radians(degrees)
        )
        for intensity, semi_y, semi_x, semi_z, y, x, z, degrees in HEAD
    )


@dataclass(frozen=True)
class RingCoils:
    """Rings of loops above each other: every coil is one of `in_plane` times Σ a e^{2πi κ·z}.

    `along_z` (coil, κz) over `Z_FREQUENCIES`.
    """

    in_plane: SinusoidalCoils
    along_z: Tensor


def ring_coils(n_coils: int, *, n_rings: int = 2, object_phase: float = 0.0) -> RingCoils:
    """Share `n_coils` between rings, each turned by half a loop from the one below; they see (1 + cos π(z − z₀))/2."""
    if not 1 <= n_rings <= n_coils:
        raise ValueError(f"ring_coils: {n_coils} coils in {n_rings} rings, at least one each needed")
    coefficients, along_z, frequencies = [], [], torch.tensor(Z_FREQUENCIES, dtype=torch.float64)
    for ring in range(n_rings):
        n_here = n_coils // n_rings + (ring < n_coils % n_rings)
        height = RINGS_AT * (2 * ring / (n_rings - 1) - 1) if n_rings > 1 else 0.0
        coils = loop_coils(n_here, object_phase=object_phase, turned=ring / 2)
        turn = -2 * math.pi * frequencies * height
        share = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
        coefficients.append(coils.coefficients)
        along_z.append(torch.polar(share, turn).expand(n_here, -1))
    return RingCoils(SinusoidalCoils(torch.cat(coefficients), coils.frequencies), torch.cat(along_z))


def volume_kspace(
    coils: RingCoils, shape: tuple[int, int, int], *, fov: tuple[float, float, float], oversampling: int = 2
) -> Iterator[Tensor]:
    """Sample the k-space that each coil receives of the head: yields `(coil, ky, oversampling · kx)` for each kz.

    `shape` and `fov`, in boxes, are (z, y, x); scale as of `coil_kspace`: intensity 1 seen by sensitivity 1 has value 1
    after an orthonormal transform along all three axes.
    """
    (n_z, n_y, n_x), (fov_z, fov_y, fov_x) = shape, fov
    n_x, fov_x, head = n_x * oversampling, fov_x * oversampling, head_ellipsoids()
    frequencies = coils.in_plane.frequencies
    ky, at_y = shifted_frequencies(grid_frequencies(n_y, fov_y), frequencies)
    kx, at_x = shifted_frequencies(grid_frequencies(n_x, fov_x), frequencies)
    scale = math.sqrt(n_z * n_y * n_x) / (fov_z * fov_y * fov_x)
    weights = (coils.in_plane.coefficients * scale).to(torch.complex64)
    known: dict[float, Tensor] = {}
    for partition in range(n_z):
        wanted = [round((partition - n_z // 2) / fov_z - shift, 9) for shift in Z_FREQUENCIES]
        known = {kz: plane for kz, plane in known.items() if kz in wanted}
        for kz in wanted:
            if kz not in known:
                centre = torch.tensor(kz, dtype=torch.float64)
                known[kz] = sum(part.kspace(centre, ky[:, None], kx) for part in head).to(torch.complex64)
        planes = torch.stack([known[kz] for kz in wanted])
        plane = torch.einsum("cz,zyx->cyx", coils.along_z.to(torch.complex64), planes)
        yield torch.stack([
            sum(weights[coil, m, n] * seen[at_y[m][:, None], at_x[n]]
                for m in range(len(frequencies)) for n in range(len(frequencies)))
            for coil, seen in enumerate(plane)
        ])  # fmt: skip
