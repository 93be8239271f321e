"""Measure how far an image is from its reference, one number per image: `(..., y, x)` gives `(...)`.

Our own lines instead of a package, because numbers are compared across papers and packages differ: scikit-image and
fastMRI use the sample covariance in SSIM, torchmetrics the population covariance, and each has another data range.
Here the range of values is the largest magnitude of each reference image unless `data_range` says otherwise; fastMRI
takes one range per volume: `data_range=reference.abs().amax((-3, -2, -1))[..., None]`.

Batch axes broadcast. A reference of zeros has no scale, and gives nan or inf.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from kband_core.axes import check_axes


def nmse(image: Tensor, reference: Tensor) -> Tensor:
    """Return Σ|image - reference|² / Σ|reference|²; in complex images phase errors count."""
    check_axes(image=(image, "... y x"), reference=(reference, "... y x"))
    return _energy(image - reference) / _energy(reference)


def nrmse(image: Tensor, reference: Tensor) -> Tensor:
    """Return the root of `nmse`."""
    return nmse(image, reference).sqrt()


def psnr(image: Tensor, reference: Tensor, *, data_range: Tensor | float | None = None) -> Tensor:
    """Return 10 log10(data_range² / mean |image - reference|²) in dB; in complex images phase errors count.

    Equal images give inf.
    """
    n = check_axes(image=(image, "... y x"), reference=(reference, "... y x"))
    mean_square = _energy(image - reference) / (n["y"] * n["x"])
    return 10 * (_range(reference, data_range).square() / mean_square).log10()


def ssim(image: Tensor, reference: Tensor, *, data_range: Tensor | float | None = None) -> Tensor:
    """Return the mean structural similarity of the magnitudes; 1 for equal images.

    Uniform 7 × 7 window, K1 = 0.01, K2 = 0.03, sample covariance, only windows that lie inside the image: the
    convention of scikit-image and fastMRI.

    Wang et al., Image quality assessment, IEEE TIP 13:600 (2004).
    """
    n = check_axes(image=(image, "... y x"), reference=(reference, "... y x"))
    if min(n["y"], n["x"]) < 7:
        raise ValueError(f"ssim: images of {n['y']} x {n['x']} pixels, but the window needs 7 x 7")
    value_range = _range(reference, data_range)[..., None, None]
    return _similarity(image.abs(), reference.abs(), value_range, stride=1)


def authors_nmse(image: Tensor, reference: Tensor) -> Tensor:
    """Return mean (|t| - |p|)² / (max |t| - min |t|), which the published k-band code calls NMSE.

    It is none: it grows with the scale of the images.
    """
    check_axes(image=(image, "... y x"), reference=(reference, "... y x"))
    t, p = reference.abs(), image.abs()
    return (t - p).square().mean((-2, -1)) / (t.amax((-2, -1)) - t.amin((-2, -1)))


def authors_psnr(image: Tensor, reference: Tensor) -> Tensor:
    """Return the PSNR in dB of magnitudes that are each scaled from 0 to 1, as the published k-band code does."""
    check_axes(image=(image, "... y x"), reference=(reference, "... y x"))
    p, t = (_from_zero_to_one(array.abs()) for array in (image, reference))
    return -10 * (t - p).square().mean((-2, -1)).log10()


def authors_ssim(image: Tensor, reference: Tensor) -> Tensor:
    """Return the SSIM of 8-bit magnitudes, each scaled by its own maximum, in 7 × 7 tiles side by side.

    So the published k-band code has it: an error of scale does not count, pixels are cut off to whole numbers, and
    variances are those of the tile, not of what it is a sample of.
    """
    check_axes(image=(image, "... y x"), reference=(reference, "... y x"))
    p, t = ((255 * (array.abs() / array.abs().amax((-2, -1), keepdim=True))).floor() for array in (image, reference))
    return _similarity(p, t, torch.tensor(255.0, device=t.device), stride=7, sample=1)


def _similarity(x: Tensor, r: Tensor, value_range: Tensor, *, stride: int, sample: float = 49 / 48) -> Tensor:
    # float32 would lose the variance of a bright, flat region to cancellation
    x, r = torch.broadcast_tensors(x.double(), r.double())
    mean_x, mean_r, mean_xx, mean_rr, mean_xr = (_window_mean(a, stride) for a in (x, r, x * x, r * r, x * r))
    variance_x, variance_r = sample * (mean_xx - mean_x**2), sample * (mean_rr - mean_r**2)
    covariance = sample * (mean_xr - mean_x * mean_r)
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    luminance = (2 * mean_x * mean_r + c1) / (mean_x**2 + mean_r**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_r + c2)
    return (luminance * structure).mean((-2, -1)).float()


def _energy(image: Tensor) -> Tensor:
    return image.abs().square().sum((-2, -1))


def _range(reference: Tensor, data_range: Tensor | float | None) -> Tensor:
    if data_range is None:
        return reference.abs().amax((-2, -1))
    return torch.as_tensor(data_range, dtype=torch.float32, device=reference.device)


def _from_zero_to_one(image: Tensor) -> Tensor:
    low, high = image.amin((-2, -1), keepdim=True), image.amax((-2, -1), keepdim=True)
    return (image - low) / (high - low)


def _window_mean(image: Tensor, stride: int) -> Tensor:
    windows = avg_pool2d(image.reshape(-1, 1, *image.shape[-2:]), 7, stride=stride)
    return windows.reshape(*image.shape[:-2], *windows.shape[-2:])
