"""What a network is shown of a plane, and what it is judged by: one class for each way of training.

The undersampled axis is always ky (axis 0): `lines` acquires whole readout lines along kx, as variable density along
ky. A band turns while that axis stays: at angle 0 it is full along ky and narrow along kx, at 90° full along the
readout, so that the calibration lines cross it at every angle. (A scanner that turns its blade turns the undersampled
axis too.) Sampling is drawn anew every time, the angle belongs to the scan.

| name | the network sees | it is judged by |
|---|---|---|
| `supervised` | sampling | everything acquired |
| `kband` | sampling within the band | the band, each sample weighted by 1/E[B] |
| `ssdu` | part Θ of the sampling | the rest of it, Λ |
| `vertical` | sampling within the band at angle 0 | that band |
| `square` | sampling within the central square of a band's area | that square |
| `reference` | as `kband`, with the quirks of its published code | the same, coils combined |

Of a plane that is not fully sampled, such as a band from a scanner, only what was acquired is seen or judged by. Where
zeros at the ends of k-space are all that is missing (padding, as in public data sets), it counts as fully sampled.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import torch
from torch import Tensor

from kband_core.bands import Geometry, band_mask, band_weight
from kband_core.losses import normalised_loss
from kband_core.sampling import ssdu_split
from kband_core.training.acquired import Acquired
from kband_core.training.dataset import Plane
from kband_core.training.example import Example, make_example
from kband_core.training.reference import combined_kspace, combined_loss, reference_band, reference_weight
from kband_core.training.supervised import Compared, Supervised, Supervision


@dataclass(frozen=True, kw_only=True)
class _Limited(Compared):
    """Judge by a part of k-space of 1/`band_acceleration` of its area."""

    band_acceleration: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.band_acceleration >= 1:
            raise ValueError(f"band_acceleration: {self.band_acceleration:g}, at least 1 needed")


class Vertical(_Limited):
    """Judge by the same band in every scan, at angle 0: the baseline that never sees high frequencies along kx."""

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        band = band_mask(_shape(plane), self.band_acceleration, 0.0).to(plane.mask.device)
        sampled = self.sampled(plane, rng)
        return make_example(plane, sampled & band, plane.mask & band, sampled)


class Square(_Limited):
    """Judge by the central square of side ⌊√(H·W/R)⌋: the baseline that never sees high frequencies."""

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        n_ky, n_kx = _shape(plane)
        side = math.floor(math.sqrt(n_ky * n_kx / self.band_acceleration))
        square = torch.zeros(n_ky, n_kx, dtype=torch.bool, device=plane.mask.device)
        top, left = (max(n // 2 - side // 2, 0) for n in (n_ky, n_kx))
        square[top : top + side, left : left + side] = True
        sampled = self.sampled(plane, rng)
        return make_example(plane, sampled & square, plane.mask & square, sampled)


@dataclass(frozen=True, kw_only=True)
class KBand(_Limited):
    """Judge by the band of the scan, each sample weighted by the inverse of how often bands visit it.

    `angles`: those of all scans of a study, whose exact coverage is then used; without, angles are taken as uniform.
    `weighted=False` leaves the weight out. `decoupled` shows the network samples from outside the band too: only
    possible where everything was acquired, and the one case in which the weighted loss is unbiased to the letter; as
    practised, the network's input depends on the band. The weight is not normalised to mean 1, so that the loss has
    the size of the supervised one in planes of every shape.

    Wang et al., K-band, arXiv 2308.02958.
    """

    geometry: Geometry = "tangent"
    aspect: float = 1.0
    angles: Sequence[float] | None = None
    cap: float = 12.0
    weighted: bool = True
    decoupled: bool = False

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        shape = _shape(plane)
        angle = _angle(plane, angle)
        acquired = self.band_acceleration if plane.band_acceleration is None else plane.band_acceleration
        if not math.isclose(acquired, self.band_acceleration, rel_tol=1e-6):
            raise ValueError(
                f"band_acceleration: {self.band_acceleration:g}, but slice {plane.slice} of subject {plane.subject} is "
                f"a band of {acquired:g}, whose weight is another; train on bands of one acceleration"
            )
        band = band_mask(shape, self.band_acceleration, angle, geometry=self.geometry, aspect=self.aspect)
        band = band.to(plane.mask.device)
        sampled = self.sampled(plane, rng)
        weight = plane.mask & band
        if self.weighted:
            angles = None if self.angles is None else tuple(self.angles)
            once = _band_weight(shape, self.band_acceleration, self.geometry, angles, self.aspect, self.cap)
            weight = weight * once.to(weight.device)
        return make_example(plane, sampled if self.decoupled else sampled & band, weight, sampled)


@dataclass(frozen=True, kw_only=True)
class Ssdu(Supervision):
    """Judge by a random part of the samples, which the network does not see; `fraction` of them.

    The sampling of a fully sampled plane is drawn once and for all, from its own k-space, since a scan that is
    undersampled has no other samples to offer; the split is drawn anew. An undersampled plane is taken as it is.

    Yaman et al., Self-supervised learning of physics-guided reconstruction, MRM 84:3172 (2020).
    """

    fraction: float = 0.4

    def draws_from(self, acquired: Acquired) -> bool:
        return acquired.is_gapless

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        central = plane.kspace[:, _shape(plane)[0] // 2].cpu().numpy().tobytes()
        acquired = self.sampled(plane, torch.Generator().manual_seed(zlib.crc32(central)))
        return make_example(plane, *ssdu_split(acquired, fraction=self.fraction, rng=rng), acquired, scaled_by=acquired)

    def loss(self, image: Tensor, csm: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        return normalised_loss(image, csm, target, weight)


class Reference(_Limited):
    """Train as the published code does: see `kband_core.training.reference`. Needs fully sampled planes."""

    def __call__(self, plane: Plane, rng: torch.Generator, angle: float | None = None) -> Example:
        if not plane.acquired.has_reference:
            raise ValueError("reference: a fully sampled plane needed for the coil-combined target; use kband")
        shape, device = _shape(plane), plane.mask.device
        band = reference_band(shape, self.band_acceleration, round(_angle(plane, angle))).to(device)
        weight = band * reference_weight(shape, self.band_acceleration).to(device)
        sampled = self.sampled(plane, rng)
        example = make_example(plane, sampled & (band > 0.5), weight, sampled, taper=band)
        return replace(example, target=combined_kspace(example.target, plane.csm))

    def loss(self, image: Tensor, csm: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        return combined_loss(image, target, weight, norm=self.norm)


SUPERVISIONS: dict[str, type[Supervision]] = {
    kind.__name__.lower(): kind for kind in (Supervised, KBand, Ssdu, Vertical, Square, Reference)
}


def build_supervision(name: str, **options: object) -> Supervision:
    """Make the supervision of a recipe by its name. Raises `ValueError` for a name or an option that there is not."""
    if name not in SUPERVISIONS:
        raise ValueError(f"supervision: no '{name}'; there are {', '.join(SUPERVISIONS)}")
    known = [field.name for field in fields(SUPERVISIONS[name])]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ValueError(f"supervision {name}: no option '{unknown[0]}'; there are {', '.join(known)}")
    return SUPERVISIONS[name](**options)


def _shape(plane: Plane) -> tuple[int, int]:
    return tuple(plane.kspace.shape[-2:])


def _angle(plane: Plane, angle: float | None) -> float:
    if plane.angle is not None:
        return plane.angle
    if angle is None:
        raise ValueError("kband: the plane has no band angle, and none was drawn for its scan")
    return angle


@lru_cache(maxsize=64)
def _band_weight(
    shape: tuple[int, int],
    acceleration: float,
    geometry: Geometry,
    angles: tuple[float, ...] | None,
    aspect: float,
    cap: float,
) -> Tensor:
    return band_weight(shape, acceleration, geometry=geometry, angles=angles, aspect=aspect, cap=cap)
