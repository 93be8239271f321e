"""How far an image is from its reference, whatever scale the scanner chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gadgets.mrd import ismrmrd
from kband_core.metrics import nrmse, ssim


@dataclass(frozen=True)
class Agreement:
    """NRMSE and SSIM (7 × 7, range: the reference's maximum) of magnitudes after one least-squares `factor`."""

    nrmse: float
    ssim: float
    factor: float

    def __str__(self) -> str:
        return f"NRMSE {self.nrmse:.3f} · SSIM {self.ssim:.3f}"


def compare(image: ismrmrd.Image, reference: ismrmrd.Image) -> tuple[np.ndarray, np.ndarray, Agreement]:
    """Return the scaled magnitude of `image`, that of `reference`, and how they agree.

    The image is multiplied by the one factor that fits the reference best, since scanners scale freely. Raises
    `ValueError` if their sizes differ.
    """
    own, target = shown_pixels(image), shown_pixels(reference)
    if own.shape != target.shape:
        ours, theirs = (" x ".join(map(str, pixels.shape)) for pixels in (own, target))
        raise ValueError(f"slice {image.slice}: the image has {ours} pixels (y, x), but its reference {theirs}")
    own, target = (np.abs(pixels.astype(np.float32)) for pixels in (own, target))
    energy = float(np.vdot(own, own))
    factor = float(np.vdot(own, target)) / energy if energy else 0.0
    own *= np.float32(factor)
    tensors = torch.from_numpy(own), torch.from_numpy(target)
    return own, target, Agreement(float(nrmse(*tensors)), float(ssim(*tensors)), factor)


def shown_pixels(image: ismrmrd.Image) -> np.ndarray:
    """Pixels `(y, x)` of the first channel and middle partition; complex ones as magnitude, or as phase."""
    pixels = image.data[0, image.data.shape[1] // 2]
    if np.iscomplexobj(pixels):
        return np.angle(pixels) if image.image_type == ismrmrd.IMTYPE_PHASE else np.abs(pixels)
    return pixels


def values_shown(image: ismrmrd.Image) -> np.ndarray:
    """Pixels as shown; of a map in its unit, which the meta's rescale gives to whole numbers.

    0 is no value, and NaN here, unless the map has a sign.
    """
    pixels, slope = shown_pixels(image), 0.0
    if "kband_quantity" not in image.meta:
        return pixels
    if np.issubdtype(pixels.dtype, np.integer):
        slope, intercept = (float(image.meta.get(f"Rescale{name}") or default) for name, default in
                            (("Slope", 1), ("Intercept", 0)))  # fmt: skip
        pixels = pixels * slope + intercept
    return pixels if pixels.min() < -slope / 2 else np.where(pixels > slope / 2, pixels, np.nan)


def reference_of(image: ismrmrd.Image, references: Sequence[ismrmrd.Image]) -> ismrmrd.Image | None:
    """Return the reference of an image: of its slice and quantity; of its contrast, where they have several."""
    quantity = image.meta.get("kband_quantity")
    of_slice = [one for one in references if (one.slice, one.meta.get("kband_quantity")) == (image.slice, quantity)]
    of_contrast = [one for one in of_slice if one.contrast == image.contrast]
    return next(iter(of_contrast or of_slice), None)


def map_agreement(image: ismrmrd.Image, reference: ismrmrd.Image) -> str:
    """Say how far a map is from the true one, where both have a value. Raises `ValueError` if their sizes differ."""
    own, target = values_shown(image), values_shown(reference)
    if own.shape != target.shape:
        ours, theirs = (" x ".join(map(str, values.shape)) for values in (own, target))
        raise ValueError(f"slice {image.slice}: the map has {ours} pixels (y, x), but its reference {theirs}")
    told = np.isfinite(own) & np.isfinite(target) & (own != 0) & (target != 0)
    unit, apart = image.meta.get("RescaleType", ""), (own - target)[told]
    middle, mean = (np.median(np.abs(apart)), apart.mean()) if apart.size else (np.nan, np.nan)
    return f"{image.meta['kband_quantity']} off by {middle:.2g} {unit} (median), {mean:+.2g} {unit} on average"


def part_shown(image: ismrmrd.Image) -> str:
    """Say which channel and partition `shown_pixels` takes, where there are more than one."""
    n_channels, n_partitions = image.data.shape[:2]
    part = f" · channel 1 of {n_channels}" if n_channels > 1 else ""
    return part + (f" · partition {n_partitions // 2 + 1} of {n_partitions}" if n_partitions > 1 else "")
