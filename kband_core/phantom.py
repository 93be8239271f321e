"""Simulate a head in a receive array, with k-space from formulas instead of a Fourier transform of pixels.

The head is made of ellipses, whose k-space is a Bessel function; the coil sensitivities are finite sums of complex
exponentials, each of which shifts that k-space. So every sample is exact, at any resolution and field of view, and a
reconstruction that is tested on it cannot profit from having used the same discrete transform as the simulation.

Lengths are in head boxes: the square `|x|, |y| <= 1/2` holds the head, and `fov` is an encoded field of view in
boxes. k is in cycles per box. y grows with the row index, from the forehead to the back of the head.

Guerquin-Kern et al., Realistic analytical phantoms for parallel MRI, IEEE TMI 31:626 (2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

RING = 0.75  # radius of the ring of coils, boxes: the head ends at 0.5
N_EXPONENTIALS = 7  # along each axis

# Intensity, semi-axes (y, x, z), centre (y, x, z), in-plane angle in degrees from x towards y; in half boxes.
# Sums: scalp fat 1, skull 0.1, grey matter 0.55, white matter 0.8, ventricles 0.2; then deep nuclei, a tumour, the
# cerebellum, small details.
_HEAD = (
    (1.00, 0.920, 0.690, 1.15, 0.000, 0.00, 0.00, 0.0),
    (-0.90, 0.870, 0.650, 1.09, 0.000, 0.00, 0.00, 0.0),
    (0.45, 0.820, 0.605, 1.04, 0.000, 0.00, 0.00, 0.0),
    (0.25, 0.690, 0.480, 0.85, 0.000, 0.00, 0.10, 0.0),
    (-0.60, 0.310, 0.090, 0.45, -0.020, 0.18, 0.05, 18.0),
    (-0.60, 0.340, 0.110, 0.50, 0.020, -0.18, 0.05, -18.0),
    (-0.15, 0.130, 0.090, 0.30, 0.000, 0.36, -0.10, -10.0),
    (-0.15, 0.130, 0.090, 0.30, 0.000, -0.36, -0.10, 10.0),
    (0.20, 0.110, 0.150, 0.25, -0.500, 0.06, 0.15, 0.0),
    (-0.15, 0.140, 0.260, 0.40, 0.480, 0.00, -0.40, 0.0),
    (0.20, 0.023, 0.046, 0.40, 0.620, -0.08, 0.00, 0.0),
    (0.20, 0.023, 0.023, 0.40, 0.620, 0.00, 0.00, 0.0),
    (0.20, 0.046, 0.023, 0.40, 0.620, 0.06, 0.00, 0.0),
    (-0.30, 0.012, 0.012, 0.60, 0.380, 0.06, 0.00, 0.0),
    (-0.30, 0.012, 0.012, 0.60, 0.380, 0.12, 0.00, 0.0),
)


@dataclass(frozen=True)
class Ellipse:
    """A uniform ellipse: semi-axes and centre in boxes, `angle` from x towards y in radians."""

    intensity: float
    semi_y: float
    semi_x: float
    y: float = 0.0
    x: float = 0.0
    angle: float = 0.0

    def kspace(self, ky: Tensor, kx: Tensor) -> Tensor:
        """Evaluate ∫ ellipse · e^{-2πi k·r} dr in closed form.

        The disc of radius one has J1(2πq)/q; the semi-axes scale k to q, the centre is a phase ramp. `ky` and `kx`
        broadcast; complex128.
        """
        ky, kx = ky.double(), kx.double()
        along_y, along_x = self._in_own_axes(ky, kx)
        q = torch.hypot(along_y * self.semi_y, along_x * self.semi_x)
        jinc = torch.where(q == 0, math.pi, torch.special.bessel_j1(2 * math.pi * q) / q)
        phase = -2 * math.pi * (ky * self.y + kx * self.x)
        return torch.polar(self.intensity * self.semi_y * self.semi_x * jinc, phase)

    def contains(self, y: Tensor, x: Tensor) -> Tensor:
        """Tell which of the points lie inside; `y` and `x` broadcast."""
        along_y, along_x = self._in_own_axes(y - self.y, x - self.x)
        return torch.hypot(along_y / self.semi_y, along_x / self.semi_x) <= 1

    def _in_own_axes(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return cos * y - sin * x, sin * y + cos * x


@dataclass(frozen=True)
class Phantom:
    """A sum of ellipses; where they overlap, intensities add."""

    ellipses: tuple[Ellipse, ...]

    def kspace(self, ky: Tensor, kx: Tensor) -> Tensor:
        """Evaluate the Fourier integral of the object at any k; at 0 it is the integral over the area. complex64."""
        return sum(ellipse.kspace(ky, kx) for ellipse in self.ellipses).to(torch.complex64)

    def image(self, shape: tuple[int, int], fov: tuple[float, float] = (1.0, 1.0)) -> Tensor:
        """Sample the object at the pixel centres, without Gibbs ringing or partial volume; real `(y, x)`."""
        y, x = pixel_centres(shape, fov)
        points = y[:, None], x
        return sum(ellipse.intensity * ellipse.contains(*points) for ellipse in self.ellipses).float()


@dataclass(frozen=True)
class SinusoidalCoils:
    """Coil sensitivities Σ a e^{2πi κ·r}: `coefficients` (coil, κy, κx), `frequencies` κ in cycles per box."""

    coefficients: Tensor
    frequencies: Tensor

    def maps(self, shape: tuple[int, int], fov: tuple[float, float] = (1.0, 1.0)) -> Tensor:
        """Sample the sensitivities at the pixel centres: the true `csm`, `(coil, y, x)` complex64."""
        along_y, along_x = (_exponentials(self.frequencies, r) for r in pixel_centres(shape, fov))
        return torch.einsum("cmn,my,nx->cyx", self.coefficients, along_y, along_x).to(torch.complex64)


def head_phantom(z: float = 0.0) -> Phantom:
    """Cut one slice at `z`, from the base (-1) to the vertex (1), through a head of ellipsoids.

    The layout is that of Shepp and Logan, the contrast that of a T1-weighted image: bright scalp, dark skull, white
    matter 0.8, grey matter 0.55, ventricles 0.2. Ellipsoids that `z` misses are left out.

    Shepp and Logan, IEEE Trans Nucl Sci 21:21 (1974); 3-D: Kak and Slaney, ch. 3.
    """
    if not -1 <= z <= 1:
        raise ValueError(f"head_phantom: z is {z:g}, but the head reaches from -1 to 1")
    ellipses = []
    for intensity, semi_y, semi_x, semi_z, y0, x0, z0, degrees in _HEAD:
        height = (z - z0) / semi_z
        if abs(height) < 1:
            size = math.sqrt(1 - height**2) / 2
            angle = math.radians(degrees)
            ellipses.append(Ellipse(intensity, semi_y * size, semi_x * size, y0 / 2, x0 / 2, angle))
    return Phantom(tuple(ellipses))


def loop_coils(n_coils: int, *, object_phase: float = 0.0) -> SinusoidalCoils:
    """Place a ring of long loops around the head and express their sensitivities as sums of exponentials.

    A straight wire at the point w of the complex plane r = x + iy has the receive field 1/(w - r); a loop is two
    wires with opposite currents, and neighbouring loops touch. 7 × 7 frequencies of period 2 boxes are fitted to that
    over the disc which holds the head; the fit (3 % rms for 8 coils), not the wires, is the truth from then on. Outside
    the disc it only stays bounded.

    The root sum of squares is 1 in the centre and up to 1.9 at the scalp (8 coils).
    `object_phase`, in radians, adds a smooth phase `object_phase` · (x + 4y²), common to all coils.
    """
    if n_coils < 1:
        raise ValueError(f"loop_coils: {n_coils} coils, at least 1 needed")
    grid = torch.linspace(-0.5, 0.5, 48, dtype=torch.float64)
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    inside = torch.hypot(y, x) <= 0.5
    frequencies = (torch.arange(N_EXPONENTIALS, dtype=torch.float64) - N_EXPONENTIALS // 2) / 2
    along = _exponentials(frequencies, grid)
    design = torch.einsum("my,nx->yxmn", along, along)[inside].flatten(1)
    phase = torch.polar(torch.ones_like(x), object_phase * (x + 4 * y.square()))
    target = (_loop_fields(n_coils, torch.complex(x, y)) * phase)[:, inside]
    # Small singular values belong to fields outside the disc, where nothing ties them down.
    fitted = torch.linalg.lstsq(design, target.mT, rcond=1e-2, driver="gelsd").solution.mT
    in_centre = fitted.sum(-1).norm()
    return SinusoidalCoils((fitted / in_centre).reshape(n_coils, N_EXPONENTIALS, N_EXPONENTIALS), frequencies)


def coil_kspace(
    phantom: Phantom,
    coils: SinusoidalCoils,
    shape: tuple[int, int],
    *,
    fov: tuple[float, float] = (1.0, 1.0),
    oversampling: int = 2,
) -> Tensor:
    """Sample the k-space that each coil receives: Σ a F(k - κ), with F the k-space of the phantom.

    `shape` (y, x) and `fov` (y, x) describe the image; the readout covers `oversampling` · `fov` with samples
    `oversampling` times closer, to the same highest k. A `fov` smaller than the head wraps it. The scale is that of
    `to_image`: intensity 1 seen by sensitivity 1 has value 1. Returns `(coil, ky, oversampling · kx)`.
    """
    n_y, n_x = shape[0], shape[1] * oversampling
    fov_y, fov_x = fov[0], fov[1] * oversampling
    ky, at_y = _shifted(n_y, fov_y, coils.frequencies)
    kx, at_x = _shifted(n_x, fov_x, coils.frequencies)
    shifted = phantom.kspace(ky[:, None], kx)[at_y[:, None, :, None], at_x[None, :, None, :]]
    kspace = torch.einsum("cmn,mnyx->cyx", coils.coefficients.to(torch.complex64), shifted)
    return kspace * (math.sqrt(n_y * n_x) / (fov_y * fov_x))


def coil_samples(phantom: Phantom, coils: SinusoidalCoils, coords: Tensor) -> Tensor:
    """Sample the k-space Σ a F(k - κ) that each coil receives at `coords` `(..., 2)`, ky and kx in cycles per box.

    At 0 it is the integral over the area. Returns `(coil, ...)`.
    """
    ky, kx = coords.double().unbind(-1)
    shifted_x = kx - coils.frequencies.view(-1, *[1] * kx.ndim)
    received = 0
    for along_x, shift in zip(coils.coefficients.to(torch.complex64).unbind(1), coils.frequencies, strict=True):
        received = received + torch.tensordot(along_x, phantom.kspace(ky - shift, shifted_x), dims=1)
    return received


def coil_covariance(n_coils: int, rng: torch.Generator) -> Tensor:
    """Draw a noise covariance of a ring of coils: variances within ±30 % of 1, neighbours correlated by 0.2.

    The correlation falls by 0.2 per coil along the ring and has random phases. Hermitian positive definite
    `(coil, coil)` complex64.
    """
    coil = torch.arange(n_coils)
    apart = (coil[:, None] - coil).abs()
    correlation = 0.2 ** torch.minimum(apart, n_coils - apart)
    sd = (0.7 + 0.6 * torch.rand(n_coils, generator=rng)).sqrt()
    phase = 2 * math.pi * torch.rand(n_coils, generator=rng)
    return torch.polar(torch.outer(sd, sd) * correlation, phase[:, None] - phase)


def complex_noise(covariance: Tensor, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Draw white complex Gaussian noise with the given covariance between coils; `(coil, *shape)` complex64.

    The diagonal of `covariance` is the variance of the real part alone, and of the imaginary part: E[n nᴴ] is twice
    `covariance`. An orthonormal transform leaves it so, hence identity gives SD 1 per component in image space too.
    """
    white = torch.randn(len(covariance), *shape, dtype=torch.complex64, generator=rng)
    return torch.tensordot(torch.linalg.cholesky(2 * covariance.to(torch.complex64)), white, dims=1)


def pixel_centres(shape: tuple[int, int], fov: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Return y and x of the pixel centres in boxes, float64; pixel N//2 lies at 0."""
    y, x = ((torch.arange(n, dtype=torch.float64) - n // 2) * (width / n) for n, width in zip(shape, fov, strict=True))
    return y, x


def _exponentials(frequencies: Tensor, positions: Tensor) -> Tensor:
    angle = 2 * math.pi * torch.outer(frequencies, positions)
    return torch.polar(torch.ones_like(angle), angle)


def _loop_fields(n_coils: int, points: Tensor) -> Tensor:
    """Return the field of each loop at the complex `points` (y, x), up to a common factor; `(coil, y, x)`."""
    angle = 2 * math.pi * torch.arange(n_coils, dtype=torch.float64) / n_coils
    half_width = min(math.pi / n_coils, math.pi / 3)  # one or two loops do not close around the head
    left, right = (
        1 / (torch.polar(torch.full_like(angle, RING), angle + side)[:, None, None] - points)
        for side in (half_width, -half_width)
    )
    return left - right


def _shifted(n: int, fov: float, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct values of k - κ, and where each (κ, k) finds its own among them.

    If k and κ share a grid most of them coincide, which saves most of the Bessel functions.
    """
    k = (torch.arange(n, dtype=torch.float64) - n // 2) / fov
    return torch.unique((k - frequencies[:, None]).round(decimals=9), return_inverse=True)
