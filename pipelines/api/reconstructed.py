"""Images and what they say of themselves, from a raw file or from arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from gadgets.errors import ScanError
from gadgets.items import ImageArray
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from pipelines.api.made_up_scan import made_up_scan
from pipelines.api.opened import AUTO, Lines, chain_for, opened
from pipelines.chain.account import Account
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict

QUANTITY = "kband_quantity"
ORDER = ("repetition", "set", "phase", "average", "contrast", "slice")

Given = str | PathLike | np.ndarray | Tensor


@dataclass(frozen=True)
class Reconstructed:
    """Images of a scan, of arrays with their leading axes; of a file the first axis counts them, slices fastest.

    images  complex64 (..., y, x) or (..., z, y, x), before they are scaled for the scanner: in units of the noise of
            k-space, as the noise lines of a file tell it, or else the calibration lines
    pixels  the same as they leave the pipeline, which is what `kband replay` writes: 16-bit magnitude
    meta    what each image says of itself, in that order
    maps    quantity → float32 (..., y, x), in its unit: "g-factor" of `raki`
    """

    images: np.ndarray
    pixels: np.ndarray
    meta: list[dict[str, Any]]
    maps: dict[str, np.ndarray]


def reconstruct(
    scan: Given, pipeline: str = AUTO, *, mask: np.ndarray | Tensor | None = None, **properties: Any
) -> Reconstructed:
    """Reconstruct a raw file, or k-space `(..., coil, ky, kx)`, by an installed pipeline or an XML file.

    Arrays become the lines of a scan, which takes the way of all others; `mask`, bool `(..., ky, 1)`, says which were
    measured, by default those that are not zero. A property is named as in the XML (`n_iterations=30`), with its gadget
    where several have it. Images that are a fallback or incomplete are a warning, and say so in their meta. Raises
    `ValueError` for arrays, `FileProblem`, `PipelineError` or `ScanError`.
    """
    with _source(scan, mask) as (name, batch, header, lines):
        chain, lines = chain_for(header, lines, pipeline, properties)
        made, verdict = _Made(), Verdict()
        left = list(run(Pipeline.from_chain(chain), header, lines, verdict, account=made))
    if verdict.flaw:
        warnings.warn(f"{name}: {verdict.flaw}", stacklevel=2)
    arrays = sorted(made.images, key=lambda one: _place(one[1]))
    plain = [one for one in arrays if not one[2].get(QUANTITY)]
    pixels = [one for one in sorted(left, key=_place) if not one.meta.get(QUANTITY)]
    quantities = sorted({meta[QUANTITY] for _, _, meta in arrays if meta.get(QUANTITY)})
    return Reconstructed(
        images=_stack([data for data, _, _ in plain], batch),
        pixels=_stack([image.data for image in pixels], batch),
        meta=[dict(meta) for _, _, meta in plain],
        maps={
            quantity: _stack(
                [_in_unit(data, meta) for data, _, meta in arrays if meta.get(QUANTITY) == quantity], batch
            )
            for quantity in quantities
        },
    )


def _in_unit(data: np.ndarray, meta: Any) -> np.ndarray:
    """Values of a map, which its pixels are steps of; the offset of whole numbers is added behind."""
    return data.real * np.float32(meta["RescaleSlope"])


@contextmanager
def _source(given: Given, mask: Any) -> Iterator[tuple[str, tuple[int, ...] | None, Scan, Lines]]:
    """Name, leading axes if it is an array, header and lines."""
    if isinstance(given, str | PathLike):
        if mask is not None:
            raise ValueError("mask: a raw file says itself which lines were measured; leave it out")
        with opened(given) as (scan, lines):
            yield Path(given).name, None, scan, lines
        return
    kspace, mask = _array(given), None if mask is None else _array(mask)
    header, lines = made_up_scan(kspace, mask)
    yield "kspace", kspace.shape[:-3], Scan.from_xml(header), lines


def _array(given: Any) -> np.ndarray:
    return given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)


class _Made(Account):
    """Keeps the images that a reconstruction makes, as they pass on to be scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[tuple[np.ndarray, Any, Any]] = []

    def see(self, place: int, item: Any) -> None:
        """Keep data `(channel, z, y, x)`, header and meta of each image of an array."""
        if isinstance(item, ImageArray):
            found = ((item.data[index].numpy(), item.headers[index], item.meta[index])
                     for index in np.ndindex(item.headers.shape))  # fmt: skip
            self.images += [one for one in found if one[1] is not None]


def _place(image: ismrmrd.Image | ismrmrd.ImageHeader) -> tuple[int, ...]:
    return tuple(int(getattr(image, name)) for name in ORDER)


def _stack(found: Sequence[np.ndarray], batch: tuple[int, ...] | None) -> np.ndarray:
    """Stack images `(channel, z, y, x)` along a new first axis, or along `batch`; axes of length 1 are left out."""
    shapes = sorted({one.shape for one in found})
    if len(shapes) != 1:
        differ = f"differ in shape, {shapes[0]} and {shapes[-1]}" if shapes else "were not made"
        raise ScanError(f"reconstruct: images {differ}; images of one shape are expected")
    n_channels, n_partitions = shapes[0][:2]
    unneeded = tuple(axis for axis, length in ((1, n_channels), (2, n_partitions)) if length == 1)
    stacked = np.stack(list(found)).squeeze(unneeded)
    return stacked if batch is None else stacked.reshape(*batch, *stacked.shape[1:])
