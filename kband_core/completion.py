"""What coil maps do not explain stays in the image, and the image shows the shading of the coils as they came.

Maps combine coils with least noise, where they are right. Where they are wrong or missing, as in a wrapped field of
view, or after a reference scan that saw less, the rest of what the coils measured is no noise, and that can be told:
then it joins the image, as it would in a root sum of squares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import coil_images, combine, compress, merge_sets
from kband_core.coming_lines import ComingLines
from kband_core.device import send
from kband_core.fourier import to_image, to_kspace, uncentred
from kband_core.maps_ahead import MapsAhead, energy, few_combinations, few_of, shading
from kband_core.sampling import Grid

ACROSS = 7  # pixels of the squares in which energy is told from noise, which scatters there by a tenth of its mean
NOISE = 1.5  # times the mean energy of noise: five times its scatter above it


@dataclass(frozen=True)
class Completed:
    """An image, and how it came about.

    image       complex64 `(..., y, x)`
    share       `(...)` of the acquired energy that the maps' image missed beyond noise, on the CPU
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
    sampling: Grid,
    *,
    fill: Callable[[], Tensor] | None,
    fill_misses: Callable[[], float] = lambda: 0.0,
    noise: Tensor | float = 1.0,
    unmixing: Tensor | None = None,
    ahead: MapsAhead | None = None,
    coming: ComingLines | None = None,
) -> Completed:
    """Complete an image of any method where it misses more of the acquired samples than noise.

    E being the energy in 7 × 7 pixels of what F·S·x misses of `kspace` `(..., coil, ky, kx)`, x being `image`
    `(..., set, y, x)` and S its maps `csm` `(..., set, coil, y, x)`, and n what noise has there, h² = max(0, 1 − 1.5
    n/E): of what is missed, the energy that noise does not explain. The coil images S·x are replaced to the part h by
    those of k-space whose gaps `fill` has filled without maps, such as by GRAPPA; it is called only if needed. So the
    image is that of the maps where they explain the measurement, and the root sum of squares of the filled coils where
    they do not, without a border between. What `fill` itself misses of the energy it fills in, `fill_misses` times
    that, counts as n does: an image stays that is nearer to its data than the filling is. Without `fill`, all do.

    Noise must be white, with SD `noise` in every coil. `unmixing` `(..., coil as it came, coil)`, on the CPU, undoes
    what made it so: the magnitude is the root sum of squares over coils as they came. The phase is that of the maps'
    combination. The mask of `sampling` is `(..., ky, kx)` or `(..., ky, 1)`. `ahead` of the maps saves time where it is
    known; so does `coming`, the lines of this `kspace` as they came, where `few_columns` were made of them.
    """
    check_axes(image=(image, "... set ky kx"), csm=(csm, "... set coil ky kx"), kspace=(kspace, "... coil ky kx"))
    ahead = ahead or MapsAhead.of(csm)
    missed = _around(_missed(image, kspace, sampling, ahead, coming))
    by_noise = _by_noise(noise, sampling.mask, csm.shape[-3])
    share = _share(missed, by_noise, kspace)
    if fill is None or not share.any():
        return _joined(image, csm, None, share, unmixing, ahead)
    filled, kept = fill(), _beyond(missed, by_noise)
    if of_filling := fill_misses():
        made = _around(energy(to_image(filled - sampling.mask.unsqueeze(-3) * kspace)))
        kept = _beyond(missed, by_noise + of_filling / NOISE * made)
        if not kept.any():
            return _joined(image, csm, None, share, unmixing, ahead)
    return _joined(image, csm, (kept, to_image(filled)), share, unmixing, ahead)


def combine_completed(
    kspace: Tensor,
    filled: Tensor,
    sampling: Grid,
    csm: Tensor,
    *,
    noise: Tensor | float = 1.0,
    unmixing: Tensor | None = None,
    ahead: MapsAhead | None = None,
) -> Completed:
    """Combine coils by maps, completed in the same way by what maps do not explain.

    `filled` `(..., coil, ky, kx)` is `kspace` with its gaps filled, by GRAPPA or RAKI, or `kspace` itself where there
    are none. Maps should have unit length everywhere, also in air: noise has no border then.
    """
    coil_image = to_image(filled)
    image = combine(coil_image, csm)
    if sampling.is_complete():  # maps of unit length: what they leave has the energy that is left
        missed = energy(coil_image) - energy(image)
    else:
        missed = _missed(image, kspace, sampling, ahead or MapsAhead.of(csm))
    missed, by_noise = _around(missed), _by_noise(noise, sampling.mask, csm.shape[-3])
    share = _share(missed, by_noise, kspace)
    other = (_beyond(missed, by_noise), coil_image) if share.any() else None
    return _joined(image, csm, other, share, unmixing, ahead)


def few_columns(lines: Tensor, few: Tensor) -> Tensor:
    """Combine coils of lines `(..., coil, line, kx)` to `few`, transformed to x: `(..., combination · x, line, 1)`.

    Columns of k-space lie one behind the other, as the transform along y reads them.
    """
    return to_image(compress(lines, few), (-1,)).mT.flatten(-3, -2).unsqueeze(-1)


def _missed(
    image: Tensor, kspace: Tensor, sampling: Grid, ahead: MapsAhead, coming: ComingLines | None = None
) -> Tensor:
    """Energy `(..., y, x)` of Fᴴ(y − MF·S·x), images of what an image x does not explain of `kspace` y: of few
    combinations of coils, which tell that of all."""
    mask = sampling.mask
    if mask.shape[-1] > 1:
        return energy(to_image(mask.unsqueeze(-3) * (few_of(kspace) - to_kspace(ahead.seen(image).mT))))
    # Nothing changes along kx, and a transform along the last axis reads its memory in order.
    n_rows = kspace.shape[-2]
    phase = uncentred(torch.arange(n_rows, device=mask.device) - n_rows // 2, n_rows, kspace.dtype).conj()
    acquired = mask.mT.unsqueeze(-3).to(kspace.dtype)
    missed = torch.fft.fft(ahead.seen(image * phase[:, None]), norm="ortho")
    missed *= -phase * acquired  # in place: fresh memory costs more than the product
    missed.addcmul_(_few_measured(kspace, sampling.here().lines(), coming), acquired)
    # these transforms begin at the first row and pixel, not at the centre: energies are turned round by as much
    return energy(torch.fft.ifft(missed, norm="ortho")).mT.roll(n_rows // 2, -2)


def _few_measured(kspace: Tensor, lines: Tensor, coming: ComingLines | None) -> Tensor:
    """`few_columns` of the `lines`, bool `(ky,)`, of `kspace`, each in its place: `(..., combination, x, ky)`."""
    few = few_combinations(kspace.shape[-3], kspace.device)
    if coming is not None:
        columns = coming.made(few_columns, few).with_others(kspace[0], lines).view(1, -1, kspace.shape[-2])
    else:
        rows = send(lines.nonzero().flatten(), kspace.device)
        made = few_columns(kspace.index_select(-2, rows), few).squeeze(-1)
        columns = made.new_zeros(*made.shape[:-1], kspace.shape[-2]).index_copy_(-1, rows, made)
    return columns.unflatten(-2, (len(few), -1))


def _around(missed: Tensor) -> Tensor:
    """Mean energy `(..., y, x)` of the pixels around each; both axes wrap around."""
    for dim in (-2, -1):
        n, margin = missed.shape[dim], ACROSS // 2
        wrapped = torch.cat((missed.narrow(dim, n - margin, margin), missed, missed.narrow(dim, 0, margin)), dim)
        missed = sum(wrapped.narrow(dim, first, n) for first in range(ACROSS)) / ACROSS
    return missed


def _by_noise(noise: Tensor | float, mask: Tensor, n_coils: int) -> Tensor:
    """Mean energy of noise of that SD in all coils, `(..., 1, 1)`."""
    return noise**2 * n_coils * mask.float().mean((-2, -1), keepdim=True)


def _beyond(missed: Tensor, noise: Tensor) -> Tensor:
    """h `(..., y, x)`: the root of the part of an energy that `noise` does not explain."""
    return (1 - NOISE * noise / missed.clamp(min=torch.finfo(missed.dtype).tiny)).clamp(min=0).sqrt()


def _share(missed: Tensor, noise: Tensor, kspace: Tensor) -> Tensor:
    """What `noise` does not explain, of the acquired energy `(...)`; on the CPU, for all that follows depends on it."""
    beyond = (missed - NOISE * noise).clamp(min=0).sum((-2, -1))
    if beyond.device.type == "cpu" and not beyond.any():  # which a GPU would have to be waited for
        return beyond
    acquired = torch.linalg.vector_norm(torch.view_as_real(kspace), dim=(-4, -3, -2, -1)).square()
    return (beyond / acquired.clamp(min=torch.finfo(beyond.dtype).tiny)).cpu()


def _joined(
    image: Tensor, csm: Tensor, other: tuple[Tensor, Tensor] | None, share: Tensor, unmixing: Tensor | None,
    ahead: MapsAhead | None,
) -> Completed:  # fmt: skip
    """Join to the image of maps the `other` coil images, if any, each pixel to the part that stands before them."""
    is_filled = other is not None
    if csm.shape[-4] == 1 and not is_filled:
        bright = image.squeeze(-3) * shading(csm, unmixing, ahead)
        return Completed(bright, share, is_filled, partial(coil_images, image, csm))
    coil_image = coil_images(image, csm)
    if is_filled:
        kept, without_maps = other
        coil_image = torch.lerp(coil_image, without_maps, kept.unsqueeze(-3).to(coil_image.dtype))
    as_came = coil_image if unmixing is None else compress(coil_image, send(unmixing, coil_image.device))
    magnitude = energy(as_came).sqrt()
    phase = merge_sets(combine(coil_image, csm)).angle()
    return Completed(torch.polar(magnitude, phase), share, is_filled, lambda: coil_image)
