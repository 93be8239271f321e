"""What an image and its measurement tell of the error of the image, of whatever made it."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from kband_core.coils import merge_sets
from kband_core.fourier import to_image, to_kspace
from kband_core.operators import EncodingOperator
from kband_core.scaling import relative_level
from kband_core.solvers import solve_normal
from kband_core.uncertainty.missing_energy import missing_energy

FLOOR = 1e-3  # of the image's brightness: what is fainter is nothing
LEAST = 1e-6  # of the energy
SENSE_STEPS, SENSE_WEIGHT = 4, 0.01  # conjugate-gradient steps and λ of the plain image it is compared with
RINGS = (0.0, 0.25, 0.5, 2.0)  # of the k-space radius; detail is what lies outside the first, coarse and fine
CHANNELS = 14


@torch.no_grad()
def evidence(image: Tensor, kspace: Tensor, operator: EncodingOperator, noise: Tensor) -> Tensor:
    """Return what is known of the error of `image` `(b, set, y, x)`, real `(b, 14, y, x)`.

    Logarithms of magnitudes, all in units of the image's brightness: the image x; what of it was not measured,
    x − AᴴA x; what of the measurement it misses, Aᴴy − AᴴA x; how far a few steps of CG-SENSE are from it; the detail
    of x, coarse and fine, and that of Aᴴy, which is less by what was not measured. Then, the same in every pixel, the
    noise level, the share of three rings of k-space that was measured, ⟨z, AᴴA z⟩ / ⟨z, z⟩ of random z in each, and the
    energy that was not, of signal and of noise.

    `kspace`, `operator` and `noise` `(b,)` are those that a network gets.
    """
    measured, again = operator.adjoint(kspace), operator.normal(image)
    plain = solve_normal(operator, measured, SENSE_WEIGHT, SENSE_STEPS)
    rings = _rings(image)
    detail = [_within(ring, part) for ring in rings[1:] for part in (image, measured)]
    shown = image, image - again, measured - again, image - plain, *detail
    maps = torch.stack([merge_sets(part).abs() for part in shown], 1)
    shares = torch.stack([_measured_share(ring, image, operator) for ring in rings], 1)
    missing = missing_energy(kspace, operator.sampling, tuple(image.shape[-2:]), noise)
    even = torch.cat([relative_level(noise)[:, None], shares.log(), (missing + LEAST).log() / 2], 1)
    return torch.cat([(maps + FLOOR).log(), even[..., None, None].expand(-1, -1, *image.shape[-2:])], 1)


def _rings(image: Tensor) -> list[Tensor]:
    y, x = ((torch.arange(n, device=image.device) - n // 2) / (n / 2) for n in image.shape[-2:])
    radius = torch.hypot(y[:, None], x)
    return [(inner <= radius) & (radius < outer) for inner, outer in pairwise(RINGS)]


def _within(ring: Tensor, image: Tensor) -> Tensor:
    return to_image(ring * to_kspace(image))


def _measured_share(ring: Tensor, image: Tensor, operator: EncodingOperator) -> Tensor:
    """Tell it `(b,)` of an even image of that ring, seen through the maps."""
    drawn = torch.randn(image.shape[1:], dtype=image.dtype, generator=torch.Generator().manual_seed(0))
    mapped = (operator.csm != 0).any(-3)
    probe = (_within(ring, drawn.to(image.device)) * mapped).expand_as(image).contiguous()
    came, went = (
        torch.view_as_real(probe * part.conj())[..., 0].sum((-3, -2, -1)) for part in (operator.normal(probe), probe)
    )
    return (came / went.clamp(min=FLOOR)).clamp(min=FLOOR)
