"""Partial Fourier in the chain: which side of k-space a scan left out, what stands there, and what the image says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from torch import Tensor

from gadgets.encoding import Limit
from gadgets.gadget import field
from gadgets.items import ReconBuffer
from gadgets.recon.reconstruction import Method, Reconstruction
from kband_core.partial_fourier import NARROWEST, Span, homodyne, is_predictable, pocs, trusted_pocs
from kband_core.sampling import Grid

PartialFourier = Annotated[
    Literal["auto", "zero_filled", "homodyne", "pocs"],
    field(description="what fills a side of k-space that was not scanned; auto: POCS as far as it predicts a strip"),
]
PLANES = {"kz": -3, "ky": -2, "kx": -1}  # axes of images (z, y, x)
TURNED = {"kx": -3, "kz": -2, "ky": -1}  # and of (x, z, y)
UNEQUAL = 0.03  # of the matrix: what one side has more than the other, and is still no partial Fourier


def fill_partial_fourier(
    made: Reconstruction, buffer: ReconBuffer, how: PartialFourier, *, by: Method
) -> tuple[Reconstruction, dict[str, str]]:
    """Fill what a scan left out on one side of k-space, and say in the meta what was done; most scans leave out none.

    The image is that of a method, coils combined: whatever fills lines that parallel imaging left out comes first. An
    image without a phase, such as a root sum of squares, stays as it is, and so does one of which too little was
    measured on both sides of the centre. With `auto` so does one that the method `by` has filled itself.
    """
    spans = spans_of(buffer)
    if not spans:
        return made, {"kband_partial_fourier": "no"}
    if how == "auto" and by.fills_one_side:
        image, done = made.image, "filled by the network"
    else:
        image, done = _filled(made.image, list(spans.values()), how)
    said = f"{done}, {' and '.join(f'{span.fraction:.0%} of {axis} scanned' for axis, span in spans.items())}"
    notes = {"kband_partial_fourier": said, "ImageComments": f"partial Fourier {said}"}
    return replace(made, image=image), notes


def spans_of(buffer: ReconBuffer) -> dict[str, Span]:
    """Return what a single image measured along the axes of which it left out one side, because the header says so.

    Lines that the header announces and that never came are missing, not left out. Where lines were moved to another
    centre, the header is wrong, and they speak for themselves.
    """
    if not isinstance(buffer.sampling, Grid):
        return {}
    encoding, mask, dims = buffer.encoding, buffer.sampling.here().mask[0, 0, 0], TURNED if buffer.turned else PLANES
    lines = mask[0] if buffer.turned else mask.any(-1)
    echo = Span(dims["kx"], buffer.kspace.shape[dims["kx"]], *buffer.readout)
    spans = {
        "kz": _announced(lines.any(1), encoding.partition(0), encoding.step2, encoding.acceleration[1], dims["kz"]),
        "ky": _announced(lines.any(0), encoding.row(0), encoding.step1, encoding.acceleration[0], dims["ky"]),
        "kx": echo if _is_one_sided(echo, 1) else None,
    }
    return {axis: span for axis, span in spans.items() if span}


def _announced(lines: Tensor, row_of_zero: int, limit: Limit, acceleration: int, dim: int) -> Span | None:
    """What was measured of `lines`, bool `(k,)`, if the limits of their counter announce no more on one side."""
    rows = lines.nonzero().flatten().tolist()
    if not rows:
        return None
    announced = Span(dim, len(lines), row_of_zero + limit.minimum, row_of_zero + limit.maximum + 1)
    measured = replace(announced, first=rows[0], stop=rows[-1] + 1)
    is_moved = measured.first < announced.first or measured.stop > announced.stop
    return measured if _is_one_sided(measured if is_moved else announced, acceleration) else None


def _is_one_sided(span: Span, acceleration: int) -> bool:
    """Whether one side has more than the other, by more than the grid of lines and an even matrix leave open."""
    return abs(span.below - span.above) > max(acceleration, UNEQUAL * span.length)


def _filled(image: Tensor, spans: Sequence[Span], how: PartialFourier) -> tuple[Tensor, str]:
    """The image, and what was done to it."""
    if how == "zero_filled":
        return image, "zero-filled"
    if not image.imag.any():
        return image, "zero-filled (the image has no phase)"
    if not is_predictable(spans):
        return image, f"zero-filled (less than {NARROWEST} samples on both sides of the centre tell no phase)"
    if how == "homodyne":
        return homodyne(image, spans), "homodyne"
    if how == "pocs":
        return pocs(image, spans), "POCS"
    found = trusted_pocs(image, spans)
    told = f"a hidden strip and its prediction correlate {found.correlation:.2f}"
    return found.image, f"POCS at {found.weight:.0%} ({told})" if found.weight else f"zero-filled ({told})"
