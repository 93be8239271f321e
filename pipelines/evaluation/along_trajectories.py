"""A trained network against its peers on scans along trajectories: fewer of the same shots, the same gadgets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from gadgets.items import Calibration, ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.recon.combination import never
from gadgets.recon.nufft_kband_recon import NufftKBandRecon
from gadgets.recon.nufft_sense import Gridding
from gadgets.recon.nufft_sense_recon import NufftSenseRecon
from gadgets.recon.reconstructor import Reconstructor
from gadgets.scan import Scan
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.evaluation.evaluation import (
    Evaluation,
    Judged,
    Properties,
    figures,
    image_of,
    images,
    named,
    with_maps,
)
from pipelines.evaluation.undersampled_shots import leave_out_shots
from pipelines.files.mrd_stream import open_raw


def evaluate_along(
    model: str, path: Path, acceleration: float, *, rng: torch.Generator, properties: Properties
) -> Evaluation:
    """Leave shots out of a raw file and judge every method on every image, the network last.

    The reference is what CG-SENSE makes of all shots, with coils and maps of its own, as many as they may be: of few
    ones it has streaks, that no method should have. Images of nothing but noise are left out. `properties`: of
    `NufftKBandRecon`, as in XML. Raises `ValueError` if no other image is left, besides what reading and gadgets raise.
    """
    with open_raw(path) as raw:
        thinned = leave_out_shots(raw.header_xml, raw, acceleration, rng=rng)
        whole = Scan.from_xml(raw.header_xml)
        full = _before_network(whole, raw)
        references = {key: image for key, (image, *_) in images(_sense(), whole, with_maps(full))}
        items = _before_network(thinned.scan, thinned.lines(raw))
    network = NufftKBandRecon.from_properties({"model": model, **properties})
    methods = {"gridding": _Gridding(), "NUFFT-SENSE": _sense(), named(model, properties): network}
    judged = [
        Judged(
            path.name, header.slice, header.contrast, header.repetition, key[-1],
            f"{method}, fell back" if meta.get("kband_fallback", "no") != "no" else method, thinned,
            figures(image, references[key]), image, references[key], header,
        )
        for method, gadget in methods.items()
        for key, (image, header, meta) in images(gadget, thinned.scan, with_maps(items))
        if key in references
    ]  # fmt: skip
    if not judged:
        raise ValueError("0 images to judge: there is nothing but noise")
    n_images = sum(item.headers.size * _n_partitions(item) for item in full if isinstance(item, ReconBuffer))
    return Evaluation(judged, n_images - len({image_of(one) for one in judged}))


def is_along_a_trajectory(path: Path) -> bool:
    """Whether a raw file holds shots instead of lines of a grid, or of echo trains."""
    with open_raw(path) as raw:
        return Scan.from_xml(raw.header_xml).encodings[0].trajectory not in ("cartesian", "epi")


def _before_network(scan: Scan, lines: Iterable[ismrmrd.Acquisition]) -> list[Calibration | ReconBuffer]:
    """Send shots through the gadgets that stand before the network in the pipeline radial_kband."""
    gadgets = Pipeline.from_xml(installed_xml("radial_kband")).gadgets
    before = itertools.takewhile(lambda gadget: not isinstance(gadget, NufftKBandRecon), gadgets)
    return list(run(Pipeline(list(before)), scan, lines, Verdict()))


def _sense() -> NufftSenseRecon:
    return NufftSenseRecon(on_failure="raise")


class _Gridding:
    """Stands where a gadget would."""

    def open(self, scan: Scan) -> None:
        pass

    def process(self, items: Iterable[Any]) -> Iterator[Any]:
        return Reconstructor("gridding", [Gridding()], never, "raise").process(items)


def _n_partitions(buffer: ReconBuffer) -> int:
    """Of a stack those of kz, else one: k-space is (slice, s, n, coil, (kz,) shot, sample)."""
    return buffer.kspace.shape[4] if buffer.kspace.ndim == 7 else 1
