"""One real scan with lines left out, reconstructed by every method, from raw file to the pixels of a scanner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import TypeAlias

import click
import ismrmrd
import torch
from best_weight import FIRST, LAST, best_image
from measure import fitted
from peers import bart
from safetensors.torch import load_file, save_file
from torch import Tensor

from gadgets.coils.coil_whitening import CoilWhitening
from gadgets.gadget import Gadget
from gadgets.items import ReconBuffer
from gadgets.recon.combined import unmixing_of
from gadgets.recon.kband_recon import KBandRecon
from gadgets.recon.recon_space import ReconSpace
from gadgets.scan import Scan
from kband_core.finished_file import finished
from kband_core.maps_ahead import shading
from kband_core.metrics import nmse
from kband_core.training.undersampling import Sampling, Undersampling
from pipelines.chain.chain import with_properties
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.chain.xml import read_chain
from pipelines.evaluation.undersampled_scan import UndersampledScan, undersample
from pipelines.files.mrd_stream import Raw, open_raw

ACS_LINES, LEAST_OUTSIDE = (24, 16), 0.2  # of the lines acquired
SENSE, WAVELETS = ["-l2", "-r", "{}", "-i", "30"], ["-R", "W:3:0:{}", "-i", "100"]  # options of bart pics, and λ
BART = {"SENSE, best λ": (SENSE, 0.05), "wavelets": (WAVELETS, 0.005)}  # and where the search for it begins

Properties: TypeAlias = Mapping[str, str]  # `Gadget.property` → value, as on the command line
NOTHING: Properties = {}


@dataclass(frozen=True)
class Images:
    """Magnitudes `(slice, y, x)` by method, zero where maps of all lines are not certain; `mapped`: where they are.

    `fallbacks`: why a method left the scan to another one, whose image it is then.
    """

    by_method: Mapping[str, Tensor]
    reference: Tensor
    mapped: Tensor
    thinned: UndersampledScan
    header: ismrmrd.ImageHeader
    fallbacks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Chains:
    """The installed pipelines, without `CoilWhitening` if so wanted; `folder` keeps the images of peers."""

    unwhitened: bool = False
    folder: Path | None = None

    def images(self, path: Path, undersampling: Undersampling, seed: int, networks: Mapping[str, Properties]) -> Images:
        """Every method on one scan, and all lines through the same chain.

        Where no network takes the scan there are no peers; of them GRAPPA only where it needs no fallback.
        """
        with open_raw(path) as raw:
            thinned = undersample(raw.header_xml, undersampling, rng=torch.Generator().manual_seed(seed))
            made = {
                name: self.pixels("kband", thinned.scan, thinned.lines(raw), told) for name, told in networks.items()
            }
            fallbacks = {name: fallback for name, (_, fallback, _) in made.items() if fallback is not None}
            name = f"{path.stem} {undersampling.sampling} {undersampling.line_acceleration:g} {undersampling.acs_lines}"
            name += f" {seed}{' unwhitened' * self.unwhitened}"
            peers, (reference, mapped) = {}, whole(self, path)
            if len(fallbacks) < len(networks):
                peers = _kept(self.folder, name, lambda: self._peers(path, raw, thinned, undersampling.sampling))
        images = peers | {name: pixels * mapped for name, (pixels, _, _) in made.items()}
        return Images(images, reference, mapped, thinned, next(iter(made.values()))[2], fallbacks)

    def _peers(self, path: Path, raw: Raw, thinned: UndersampledScan, sampling: str) -> dict[str, Tensor]:
        reference, mapped = whole(self, path)
        images = {}
        for pipeline in ("sense", *(["grappa"] if sampling == "equispaced" else [])):
            pixels, fallback, _ = self.pixels(pipeline, thinned.scan, thinned.lines(raw))
            if fallback is None:
                images[pipeline.upper()] = pixels * mapped
        slices = list(zip(self.buffers(thinned.scan, thinned.lines(raw)), reference, mapped, strict=True))
        for method, (command, start) in BART.items():
            image, start = _at_best_weight(command, start, *slices[0])
            others = [_at_best_weight(command, start, *each, first=LAST)[0] for each in slices[1:]]
            images[method] = torch.stack([image, *others])
        return images

    def pixels(
        self, pipeline: str, scan: Scan, lines: Iterable, told: Properties = NOTHING
    ) -> tuple[Tensor, str | None, ismrmrd.ImageHeader]:
        """The images `(slice, y, x)` of a scan through an installed pipeline, why they fell back, the first's header.

        Its gadgets are `told` properties. Any other flaw stops the benchmark.
        """
        verdict = Verdict()
        images = run(Pipeline(self._gadgets(pipeline, told)), scan, lines, verdict)
        images = sorted(images, key=lambda one: one.slice)
        if verdict.n_images == 0 or verdict.n_incomplete:
            raise click.ClickException(f"{pipeline}: {verdict.flaw}")
        fallbacks = [image.meta["kband_fallback"] for image in images if image.meta["kband_fallback"] != "no"]
        pixels = torch.stack([torch.from_numpy(image.data[0, 0].astype("float32")) for image in images])
        return pixels, fallbacks[0] if fallbacks else None, images[0].getHead()

    def buffers(self, scan: Scan, lines: Iterable) -> list[ReconBuffer]:
        """The slices of a scan as they come to the network: whitened, compressed, with maps."""
        before = list(takewhile(lambda gadget: not isinstance(gadget, KBandRecon), self._gadgets("kband", NOTHING)))
        items = run(Pipeline(before), scan, lines, Verdict())
        buffers = [item.single((0, 0, 0)) for item in items if isinstance(item, ReconBuffer)]
        return sorted(buffers, key=ReconBuffer.slice_counters)

    def _gadgets(self, pipeline: str, told: Properties) -> list[Gadget]:
        gadgets = Pipeline.from_chain(with_properties(read_chain(installed_xml(pipeline)), told)).gadgets
        return [gadget for gadget in gadgets if not (self.unwhitened and isinstance(gadget, CoilWhitening))]


def undersampling_of(n_lines: int, sampling: Sampling, acceleration: int) -> Undersampling | None:
    """How lines are left out of `n_lines`: 24 ACS lines, or 16 where hardly any others would be left; None if so then.

    ACS lines come on top of equispaced ones.
    """
    for acs_lines in ACS_LINES:
        n_acquired = n_lines / acceleration
        outside = n_acquired - acs_lines if sampling == "lines" else n_acquired * (1 - acs_lines / n_lines)
        if outside >= LEAST_OUTSIDE * (outside + acs_lines):
            return Undersampling(line_acceleration=acceleration, acs_lines=acs_lines, sampling=sampling)
    return None


def n_lines_of(path: Path) -> int:
    """How many lines a full scan of a file's first encoding has."""
    with open_raw(path) as raw:
        return int(Scan.from_xml(raw.header_xml).encodings[0].inside.any(0).sum())


@lru_cache(maxsize=1)
def whole(chains: Chains, path: Path) -> tuple[Tensor, Tensor]:
    """The image of all lines, and where maps are certain; `(slice, y, x)`."""
    with open_raw(path) as raw:
        scan = Scan.from_xml(raw.header_xml)
        mapped = torch.cat([_mapped(buffer) for buffer in chains.buffers(scan, raw)])
        return chains.pixels("sense", scan, raw)[0] * mapped, mapped


def _mapped(buffer: ReconBuffer) -> Tensor:
    """Where maps are certain, as the image is shown: bool `(z, y, x)`."""
    return ReconSpace.of(buffer).shown((buffer.csm[0, :, 0] != 0).any(-3).to(torch.complex64)).real > 0.5


def _at_best_weight(
    command: list[str], start: float, buffer: ReconBuffer, reference: Tensor, mapped: Tensor, *, first: float = FIRST
) -> tuple[Tensor, float]:
    """The magnitude that `bart pics` makes of a slice as it comes to the network, with the coils' shading, and λ."""
    kspace, sampling = buffer.planes()
    measured, shades = (kspace * sampling.mask)[0], shading(buffer.csm[0], unmixing_of(buffer))

    def make(weight: float) -> Tensor:
        image = bart(["pics", "-S", *(word.format(weight) for word in command)], measured, buffer.csm[0, 0])
        return mapped * ReconSpace.of(buffer).shown(image[0] * shades)[0].abs()

    return best_image(make, lambda image: float(nmse(fitted(image, reference), reference)), start, first=first)


def _kept(folder: Path | None, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What was made under a name before, or is made and kept now."""
    if folder is None:
        return make()
    path = folder / f"{name.replace(' ', '_')}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = {method: image.contiguous() for method, image in make().items()}
        with finished(path) as unfinished:
            save_file(made, unfinished)
    return load_file(path)
