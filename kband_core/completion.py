"""What coil maps do not explain stays in the image, and the image shows the shading of the coils as they came.

Maps combine coils with least noise, where they are right. Where they are wrong or missing, as in a wrapped field of
view, or after a reference scan that saw less, the rest of what the coils measured is no noise, and that can be told:
then it joins the image, as it would in a root sum of squares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import coil_images, combine, compress, merge_sets, sample_energy
from kband_core.fourier import to_image, to_kspace, uncentred

ACROSS = 7  # pixels of the squares in which energy is told from noise, which scatters there by a tenth of its mean
FEW = 6  # combinations of coils, whose energy tells that of all
NOISE = 1.5  # times the mean energy of noise: five times its scatter above it


@dataclass(frozen=True)
class Completed:
    """An image, and how it came about.

    image       complex64 `(..., y, x)`
    share       `(...)` of the acquired energy that the maps' image missed beyond noise
    is_filled   whether anything took its place there
    coil_image  returns the white coil images `(..., coil, y, x)` it was made of
    """

    image: Tensor
    share: Tensor
    is_filled: bool
    coil_image: Callable[[], Tensor]


def complete(
    image: Tensor,
    csm: Tensor,
    kspace: Tensor,
    mask: Tensor,
    *,
    fill: Callable[[], Tensor] | None,
    fill_misses: Callable[[], float] = lambda: 0.0,
    noise: Tensor | float = 1.0,
    unmixing: Tensor | None = None,
) -> Completed:
    """Complete an image of any method where it misses more of the acquired samples than noise.

    E being the energy in 7 × 7 pixels of what F·S·x misses of `kspace` `(..., coil, ky, kx)`, x being `image`
    `(..., set, y, x)` and S its maps `csm` `(..., set, coil, y, x)`, and n what noise has there, h² = max(0, 1 − 1.5
    n/E): of what is missed, the energy that noise does not explain. The coil images S·x are replaced to the part h by
    those of k-space whose gaps `fill` has filled without maps, such as by GRAPPA; it is called only if needed. So the
    image is that of the maps where they explain the measurement, and the root sum of squares of the filled coils where
    they do not, without a border between. What `fill` itself misses of the energy it fills in, `fill_misses` times
    that, counts as n does: an image stays that is nearer to its data than the filling is. Without `fill`, all do.

    Noise must be white, with SD `noise` in every coil. `unmixing` `(..., coil as it came, coil)` undoes what made it
    so: the magnitude is the root sum of squares over coils as they came. The phase is that of the maps' combination.
    `mask` `(..., ky, kx)` or `(..., ky, 1)`.
    """
    check_axes(image=(image, "... set ky kx"), csm=(csm, "... set coil ky kx"), kspace=(kspace, "... coil ky kx"))
    few = _few_combinations(csm)
    explained = coil_images(image, _mixed(few, csm))
    energy, by_noise = _around(_missed(explained, kspace, mask, few)), _by_noise(noise, mask, csm.shape[-3])
    kept, share = _beyond(energy, by_noise), _share(energy, by_noise, kspace)
    if fill is None or not kept.any():
        return _joined(image, csm, torch.zeros_like(kept), None, share, unmixing)
    filled = fill()
    if missed := fill_misses():
        made = _around(_energy(to_image(filled - mask.unsqueeze(-3) * kspace)))
        kept = _beyond(energy, by_noise + missed / NOISE * made)
    return _joined(image, csm, kept, to_image(filled), share, unmixing)


def combine_completed(
    kspace: Tensor,
    filled: Tensor,
    mask: Tensor,
    csm: Tensor,
    *,
    noise: Tensor | float = 1.0,
    unmixing: Tensor | None = None,
) -> Completed:
    """Combine coils by maps, completed in the same way by what maps do not explain.

    `filled` `(..., coil, ky, kx)` is `kspace` with its gaps filled, by GRAPPA or RAKI, or `kspace` itself where `mask`
    has none. Maps should have unit length everywhere, also in air: noise has no border then.
    """
    coil_image = to_image(filled)
    image = combine(coil_image, csm)
    if mask.all():  # maps of unit length: what they leave has the energy that is left
        missed = _energy(coil_image) - _energy(image)
    else:
        few = _few_combinations(csm)
        missed = _missed(coil_images(image, _mixed(few, csm)) - _mixed(few, coil_image), None, mask, few)
    energy, by_noise = _around(missed), _by_noise(noise, mask, csm.shape[-3])
    share = _share(energy, by_noise, kspace)
    return _joined(image, csm, _beyond(energy, by_noise), coil_image, share, unmixing)


def shading(csm: Tensor, unmixing: Tensor | None = None) -> Tensor:
    """Return how bright the coils as they came see a pixel of 1, by the first set of maps; `(..., y, x)`."""
    return _energy(_mixed(unmixing, csm[..., 0, :, :, :])).sqrt()


def _few_combinations(csm: Tensor) -> Tensor | None:
    """Combinations of the coils `(combination, coil)` that hold all their energy on average, whatever it is of.

    Drawn once, orthogonal, six at most: in 7 × 7 pixels they tell it to within a tenth, and noise as well. None of
    fewer coils.
    """
    n_coils = csm.shape[-3]
    return _drawn(n_coils).to(csm.device) if n_coils > FEW else None


@lru_cache(maxsize=64)
def _drawn(n_coils: int) -> Tensor:
    drawn = torch.randn(n_coils, FEW, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    return torch.linalg.qr(drawn)[0].mH.contiguous() * (n_coils / FEW) ** 0.5


def _missed(explained: Tensor, kspace: Tensor | None, mask: Tensor, few: Tensor | None) -> Tensor:
    """Energy `(..., y, x)` of Fᴴ(y − MF·S·x), images of what an image does not explain, without y if that is None.

    `explained` are S·x of `few` combinations of coils, if not all; `kspace` is y of all.
    """
    if mask.shape[-1] > 1:
        measured = 0 if kspace is None else _mixed(few, kspace)
        return _energy(to_image(mask.unsqueeze(-3) * (measured - to_kspace(explained))))
    # Nothing changes along kx, and a transform along the last axis reads its memory in order.
    rows = mask.reshape(-1, mask.shape[-2]).any(0).nonzero().flatten()
    from_centre = rows - mask.shape[-2] // 2
    spectrum = torch.fft.fft(explained.mT.contiguous(), norm="ortho")
    found = -spectrum[..., from_centre]
    if kspace is not None:
        shift = uncentred(from_centre, mask.shape[-2], found.dtype)
        found += to_image(_mixed(few, kspace[..., rows, :]), (-1,)).mT * shift
    missed = spectrum.zero_()
    missed[..., from_centre] = mask[..., rows, :].unsqueeze(-3).mT * found
    return _energy(torch.fft.ifft(missed, norm="ortho")).mT


def _around(energy: Tensor) -> Tensor:
    """Mean energy `(..., y, x)` of the pixels around each; both axes wrap around."""
    for dim in (-2, -1):
        n, margin = energy.shape[dim], ACROSS // 2
        wrapped = torch.cat((energy.narrow(dim, n - margin, margin), energy, energy.narrow(dim, 0, margin)), dim)
        energy = sum(wrapped.narrow(dim, first, n) for first in range(ACROSS)) / ACROSS
    return energy


def _by_noise(noise: Tensor | float, mask: Tensor, n_coils: int) -> Tensor:
    """Mean energy of noise of that SD in all coils, `(..., 1, 1)`."""
    return noise**2 * n_coils * mask.float().mean((-2, -1), keepdim=True)


def _beyond(energy: Tensor, noise: Tensor) -> Tensor:
    """h `(..., y, x)`: the root of the part of an energy that `noise` does not explain."""
    return (1 - NOISE * noise / energy.clamp(min=torch.finfo(energy.dtype).tiny)).clamp(min=0).sqrt()


def _share(energy: Tensor, noise: Tensor, kspace: Tensor) -> Tensor:
    beyond = (energy - NOISE * noise).clamp(min=0).sum((-2, -1))
    acquired = torch.linalg.vector_norm(torch.view_as_real(kspace), dim=(-4, -3, -2, -1)).square()
    return beyond / acquired.clamp(min=torch.finfo(beyond.dtype).tiny)


def _joined(
    image: Tensor, csm: Tensor, kept: Tensor, without_maps: Tensor | None, share: Tensor, unmixing: Tensor | None
) -> Completed:
    is_filled = bool(kept.any())
    if csm.shape[-4] == 1 and not is_filled:
        return Completed(image.squeeze(-3) * shading(csm, unmixing), share, is_filled, partial(coil_images, image, csm))
    coil_image = coil_images(image, csm)
    if is_filled:
        coil_image = torch.lerp(coil_image, without_maps, kept.unsqueeze(-3).to(coil_image.dtype))
    magnitude = _energy(_mixed(unmixing, coil_image)).sqrt()
    phase = merge_sets(combine(coil_image, csm)).angle()
    return Completed(torch.polar(magnitude, phase), share, is_filled, lambda: coil_image)


def _mixed(matrix: Tensor | None, coil_image: Tensor) -> Tensor:
    """Coils combined to others by `matrix` `(..., other, coil)`, or as they are."""
    return coil_image if matrix is None else compress(coil_image, matrix)


def _energy(coil_image: Tensor) -> Tensor:
    """Sum of squares over coils `(..., coil, y, x)`."""
    return sample_energy(coil_image).sum(-3)
