"""A trained network against its peers on scans whose answer is known: the same lines left out, the same gadgets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import torch
from torch import Tensor

from gadgets.gadget import Gadget
from gadgets.grappa_recon import GrappaRecon
from gadgets.items import Calibration, ReconBuffer, acquired_lines
from gadgets.kband_recon import KBandRecon
from gadgets.reconstruction import Reconstruction, combine_coils
from gadgets.scan import Scan
from gadgets.sense_recon import SenseRecon
from kband_core.fourier import to_kspace
from kband_core.metrics import authors_nmse, authors_psnr, authors_ssim, nmse, psnr, ssim
from kband_core.quality import weighted_error_by_radius
from kband_core.training.undersampling import Undersampling
from pipelines.mrd_stream import open_raw
from pipelines.pipeline import Pipeline, installed_xml
from pipelines.run import Verdict, run
from pipelines.undersampled_scan import undersample

LONGEST = 3600.0  # s for one image: nobody waits in a scanner
OUTSIDE = (0.5, 2.0)  # of the k-space radius, corners included
METRICS = ("nmse", "psnr", "ssim", "nmse_outer", "authors_nmse", "authors_psnr", "authors_ssim")

Key = tuple[int, ...]


@dataclass(frozen=True)
class Judged:
    """One image of one method: complex `(y, x)`, what made it, and its figures against the fully sampled one."""

    file: str
    slice: int
    contrast: int
    repetition: int
    partition: int
    method: str
    acceleration: float
    figures: Mapping[str, float]
    image: Tensor
    reference: Tensor
    header: ismrmrd.ImageHeader


def evaluate(
    model: str, path: Path, undersampling: Undersampling, *, rng: torch.Generator
) -> Iterator[Judged]:
    """Leave lines out of a fully sampled raw file and judge every method on every image, the network last.

    All lines through the same gadgets, coils combined by the same maps, are the reference. Raises `ValueError` if
    the scan is not fully sampled, besides what reading and gadgets raise.
    """
    with open_raw(path) as raw:
        thinned = undersample(raw.header_xml, undersampling, rng=rng)
        whole = Scan.from_xml(raw.header_xml)
        full = before_network(whole, raw)
        _require_all_lines(full)
        references = dict(_images(_ZeroFilled(), whole, full))
        items = before_network(thinned.scan, thinned.lines(raw))
    for method, gadget in _methods(model, undersampling).items():
        for key, (image, header, meta) in _images(gadget, thinned.scan, items):
            reference = references[key][0]
            fallback = meta.get("kband_fallback", "no") != "no"
            yield Judged(
                path.name, header.slice, header.contrast, header.repetition, key[-1],
                f"{method}, fell back" if fallback else method, thinned.acceleration(),
                figures(image, reference), image, reference, header,
            )  # fmt: skip


def image_of(one: Judged) -> tuple[str | int, ...]:
    """Tell which image of which file was judged, for sorting and grouping."""
    return one.file, one.slice, one.contrast, one.repetition, one.partition


def figures(image: Tensor, reference: Tensor) -> dict[str, float]:
    """Measure an image `(y, x)`: magnitudes, but for `nmse_outer`, the error of k-space beyond half its radius."""
    magnitude, truth = image.abs(), reference.abs()
    whole = torch.ones(image.shape)
    outer = weighted_error_by_radius(
        to_kspace(image)[None], to_kspace(reference)[None], whole.bool(), whole, edges=OUTSIDE
    )
    values = [metric(magnitude, truth) for metric in (nmse, psnr, ssim)]
    authors = [metric(magnitude, truth) for metric in (authors_nmse, authors_psnr, authors_ssim)]
    return {name: float(value) for name, value in zip(METRICS, [*values, outer[0], *authors], strict=True)}


def before_network(scan: Scan, lines: Iterable[ismrmrd.Acquisition]) -> list[Calibration | ReconBuffer]:
    """Send lines through the gadgets that stand before the network in the pipeline kband."""
    whole = Pipeline.from_xml(installed_xml("kband")).gadgets
    before = next(n for n, gadget in enumerate(whole) if isinstance(gadget, KBandRecon))
    return list(run(Pipeline(whole[:before]), scan, lines, Verdict()))


class _ZeroFilled:
    """Stands where a gadget would: coils are combined, lines left out stay zero."""

    def open(self, scan: Scan) -> None:
        pass

    def process(self, items: Iterable[Any]) -> Iterator[Any]:
        reconstruction = Reconstruction("zero-filled", "raise", LONGEST)
        for item in items:
            if isinstance(item, ReconBuffer):
                yield reconstruction.images(item, {"zero-filled": combine_coils})


def _methods(model: str, undersampling: Undersampling) -> dict[str, Gadget | _ZeroFilled]:
    methods: dict[str, Gadget | _ZeroFilled] = {"zero-filled": _ZeroFilled()}
    if undersampling.sampling == "equispaced":
        methods["GRAPPA"] = GrappaRecon(deadline=LONGEST)
    return {**methods, "SENSE": SenseRecon(deadline=LONGEST), model: KBandRecon(model=model, deadline=LONGEST)}


def _require_all_lines(items: Iterable[Calibration | ReconBuffer]) -> None:
    for buffer in items:
        for index in np.ndindex(buffer.headers.shape) if isinstance(buffer, ReconBuffer) else ():
            n_acquired = int(acquired_lines(buffer.single(index).planes()[1]).sum())
            if n_acquired < buffer.kspace.shape[-2]:
                raise ValueError(f"{n_acquired} of {buffer.kspace.shape[-2]} lines were acquired; a full scan needed")


def _images(
    gadget: Gadget | _ZeroFilled, scan: Scan, items: Iterable[Any]
) -> Iterator[tuple[Key, tuple[Tensor, ismrmrd.ImageHeader, Any]]]:
    gadget.open(scan)
    for array in gadget.process(iter(items)):
        for index in np.ndindex(array.headers.shape):
            header = array.headers[index]
            counters = header.slice, header.contrast, header.repetition, header.phase, header.set, header.average
            for partition, image in enumerate(array.data[index][0]):
                yield (*counters, partition), (image, header, array.meta[index])
