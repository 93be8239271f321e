"""A trained network against its peers on scans whose answer is known: the same lines left out, the same gadgets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from gadgets.gadget import Gadget
from gadgets.items import Calibration, ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.recon.combination import CoilCombination, has_all_lines
from gadgets.recon.grappa_recon import GrappaRecon
from gadgets.recon.kband_recon import KBandRecon
from gadgets.recon.reconstructor import Reconstructor
from gadgets.recon.sense_recon import SenseRecon
from gadgets.scan import Scan
from kband_core.fourier import to_kspace
from kband_core.metrics import authors_nmse, authors_psnr, authors_ssim, nmse, psnr, ssim
from kband_core.quality import weighted_error_by_radius
from kband_core.training.undersampling import Undersampling
from pipelines.chain.chain import with_properties
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.chain.xml import read_chain
from pipelines.evaluation.undersampled_scan import UndersampledScan, undersample
from pipelines.evaluation.undersampled_shots import UndersampledShots
from pipelines.files.mrd_stream import open_raw

OUTSIDE = (0.5, 2.0)  # of the k-space radius, corners included
METRICS = ("nmse", "psnr", "ssim", "nmse_outer", "authors_nmse", "authors_psnr", "authors_ssim")

Key = tuple[int, ...]
Properties: TypeAlias = Mapping[str, str]


@dataclass(frozen=True)
class Judged:
    """One image of one method: complex `(y, x)`, what made it, and its figures against the fully sampled one."""

    file: str
    slice: int
    contrast: int
    repetition: int
    partition: int
    method: str
    sampling: UndersampledScan | UndersampledShots
    figures: Mapping[str, float]
    image: Tensor
    reference: Tensor
    header: ismrmrd.ImageHeader

    @property
    def acceleration(self) -> float:
        """All lines, or shots, over those that were kept."""
        return self.sampling.acceleration()


@dataclass(frozen=True)
class Evaluation:
    """What came of one file: every method on every image, and how many images are of nothing but noise."""

    judged: Sequence[Judged]
    n_empty: int


def evaluate(
    model: str, path: Path, undersampling: Undersampling, *, rng: torch.Generator, properties: Properties
) -> Evaluation:
    """Leave lines out of a fully sampled raw file and judge every method on every image, the network last.

    `properties`: of `KBandRecon`, as in XML, whose images bear them in their names. All lines through the same gadgets,
    coils combined by the same maps, are the reference. Images in which these show
    nothing but noise are left out: they have no maps. Raises `ValueError` if no other image is left, or if the scan is
    not fully sampled, besides what reading and gadgets raise.
    """
    with open_raw(path) as raw:
        thinned = undersample(raw.header_xml, undersampling, rng=rng)
        whole = Scan.from_xml(raw.header_xml)
        full = before_network(whole, raw, undersampling.acs_lines)
        _require_all_lines(full)
        references = {key: image for key, (image, *_) in images(_ZeroFilled(), whole, with_maps(full))}
        items = before_network(thinned.scan, thinned.lines(raw), undersampling.acs_lines)
    judged = [
        Judged(
            path.name, header.slice, header.contrast, header.repetition, key[-1],
            f"{method}, fell back" if meta.get("kband_fallback", "no") != "no" else method, thinned,
            figures(image, references[key]), image, references[key], header,
        )
        for method, gadget in _methods(model, undersampling, properties).items()
        for key, (image, header, meta) in images(gadget, thinned.scan, with_maps(items))
        if key in references and references[key].any()
    ]  # fmt: skip
    if not judged:
        raise ValueError("0 images to judge: there is nothing but noise")
    n_images = sum(item.headers.size * item.kspace.shape[-3] for item in full if isinstance(item, ReconBuffer))
    return Evaluation(judged, n_images - len({image_of(one) for one in judged}))


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


def before_network(
    scan: Scan, lines: Iterable[ismrmrd.Acquisition], acs_lines: int
) -> list[Calibration | ReconBuffer]:
    """Send lines through the gadgets that stand before the network in the pipeline kband.

    Where none are flagged, `acs_lines` central ones calibrate: of the scan without omissions those that calibrate the
    one with them, for other lines would give other coils and other maps.
    """
    chain = with_properties(read_chain(installed_xml("kband")), {"AcquisitionBuffer.acs_lines": str(acs_lines)})
    gadgets = Pipeline.from_chain(chain).gadgets
    before = itertools.takewhile(lambda gadget: not isinstance(gadget, KBandRecon), gadgets)
    return list(run(Pipeline(list(before)), scan, lines, Verdict()))


class _ZeroFilled:
    """Stands where a gadget would: coils are combined, lines left out stay zero."""

    def open(self, scan: Scan) -> None:
        pass

    def process(self, items: Iterable[Any]) -> Iterator[Any]:
        return Reconstructor("zero-filled", [CoilCombination()], has_all_lines, "raise").process(items)


def _methods(model: str, undersampling: Undersampling, properties: Properties) -> dict[str, Gadget | _ZeroFilled]:
    methods: dict[str, Gadget | _ZeroFilled] = {"zero-filled": _ZeroFilled()}
    if undersampling.sampling == "equispaced":
        methods["GRAPPA"] = GrappaRecon()
    network = KBandRecon.from_properties({"model": model, **properties})
    return {**methods, "SENSE": SenseRecon(), named(model, properties): network}


def named(model: str, properties: Properties) -> str:
    """What a network is called that is told properties: `simulated_small, denoising 0.5`."""
    return ", ".join([model, *(f"{name} {value}" for name, value in properties.items())])


def _require_all_lines(items: Iterable[Calibration | ReconBuffer]) -> None:
    for buffer in items:
        for index in np.ndindex(buffer.headers.shape) if isinstance(buffer, ReconBuffer) else ():
            to_come = buffer.encoding.inside.any(0)
            n_acquired = int((buffer.single(index).plane_sampling.lines().numpy() & to_come).sum())
            if n_acquired < to_come.sum():
                raise ValueError(f"{n_acquired} of {to_come.sum()} lines were acquired; a full scan needed")


def with_maps(items: Iterable[Calibration | ReconBuffer]) -> Iterator[Calibration | ReconBuffer]:
    """Leave out the images whose maps are empty: no method can show more than noise there."""
    for item in items:
        if not isinstance(item, ReconBuffer):
            yield item
            continue
        singles = [item.single(index) for index in np.ndindex(item.headers.shape)]
        kept = [single for single in singles if single.csm is None or single.csm.any()]
        yield from [item] if len(kept) == len(singles) else kept


def images(
    gadget: Any, scan: Scan, items: Iterable[Any]
) -> Iterator[tuple[Key, tuple[Tensor, ismrmrd.ImageHeader, Any]]]:
    """Give image, header and meta of all that a gadget, or what stands for one, makes; by counters and partition."""
    gadget.open(scan)
    for array in gadget.process(iter(items)):
        for index in np.ndindex(array.headers.shape):
            header = array.headers[index]
            counters = header.slice, header.contrast, header.repetition, header.phase, header.set, header.average
            for partition, image in enumerate(array.data[index][0]):
                yield (*counters, partition), (image, header, array.meta[index])
