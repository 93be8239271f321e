"""The shipped network on real brains from which lines are taken away, raw file to image, against its peers."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path

import click
import ismrmrd
import torch
from measure import data_option, fitted, print_conditions, print_table
from peers import bart, require_peers
from torch import Tensor

from gadgets.coils.coil_whitening import CoilWhitening
from gadgets.gadget import Gadget
from gadgets.items import ReconBuffer
from gadgets.recon.combined import sum_of_squares, unmixing_of
from gadgets.recon.kband_recon import KBandRecon
from gadgets.scan import Scan
from kband_core.fourier import to_image
from kband_core.maps_ahead import shading
from kband_core.metrics import nmse, psnr, ssim
from kband_core.training.undersampling import Undersampling
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.evaluation.evaluation import Judged
from pipelines.evaluation.undersampled_scan import UndersampledScan, undersample
from pipelines.files.mrd_stream import open_raw
from pipelines.pictures.error_maps import error_maps

BRAINS = {"t1": "brain_t1_8ch", "flash": "brain_flash_16ch", "gre": "head_gre_32ch_4slices"}
PROTOCOLS = (("lines", 4), ("lines", 3), ("equispaced", 4), ("equispaced", 3))
ONE_LINE_LEFT = ("gre", "lines", 4)  # 25 of 100 lines, 24 of them ACS: nothing to reconstruct from
ACS_LINES = 24
PICTURED = (("lines", 4), ("equispaced", 3))
WEIGHTS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)  # λ of the wavelets
AIM = 1.5  # dB of PSNR over the wavelets


@dataclass(frozen=True)
class Figures:
    """NMSE, PSNR in dB and SSIM of magnitudes against those of all lines, PSNR against their RSS; means of slices."""

    nmse: float
    psnr: float
    ssim: float
    psnr_rss: float

    def cells(self) -> tuple[str, ...]:
        return f"{self.nmse:.4f}", f"{self.psnr:.2f}", f"{self.ssim:.3f}", f"{self.psnr_rss:.2f}"


@click.command(context_settings={"show_default": True})
@data_option
@click.option("--model", default=KBandRecon().model, help="Model of the registry.")
@click.option("--seed", default=0, help="Of the random lines.")
@click.option("--unwhitened", is_flag=True, help="Leave CoilWhitening out, to see what it is good for.")
@click.option("-o", "--output", default="kband_brains.png", type=click.Path(path_type=Path), help="The picture.")
def main(data: Path, model: str, seed: int, unwhitened: bool, output: Path) -> None:
    """Exit with 1 if the network is behind SENSE, GRAPPA or the wavelets in NMSE or SSIM on any scan."""
    require_peers()
    chains = Chains(model, unwhitened)
    logging.basicConfig(level=logging.ERROR)
    print_conditions(
        f"{ACS_LINES} ACS lines, seed {seed}; all slices, 4 of gre: means. Coils {'not ' * unwhitened}whitened by\n"
        "calibration lines. Network, SENSE and GRAPPA: undersampled raw file through pipelines kband, sense and\n"
        "grappa to the pixels that a scanner would get. Wavelets: bart pics -R W, 100 iterations, on the same\n"
        "compressed data and the same maps, at the λ of the least NMSE of each slice. Magnitudes after one\n"
        "least-squares factor, where maps of all lines are certain, air apart; reference: all lines through the same\n"
        "chain; 'to RSS': to their root sum of squares. Wavelets get the shading of the coils from the maps."
    )
    rows, behind, shown = [], [], list[Judged]()
    for name, stem in BRAINS.items():
        for sampling, acceleration in PROTOCOLS:
            if (name, sampling, acceleration) == ONE_LINE_LEFT:
                continue
            undersampling = Undersampling(line_acceleration=acceleration, acs_lines=ACS_LINES, sampling=sampling)
            images, thinned, header = _images(data / f"{stem}.h5", undersampling, chains, seed)
            reference, rss = images.pop("all lines"), images.pop("root sum of squares")
            figures = {method: figures_of(image, reference, rss) for method, image in images.items()}
            label = f"{name} {'×'.join(map(str, reference.shape[1:]))}, {sampling} R={acceleration}"
            label += f" ({thinned.acceleration():.2f})"
            rows += [(label if n == 0 else "", method, *figures[method].cells()) for n, method in enumerate(figures)]
            behind += _behind(label, figures, model)
            if (sampling, acceleration) in PICTURED:
                shown += [
                    Judged(
                        label, 0, 0, 0, 0, method, thinned, asdict(figures_of(image[:1], reference[:1], rss[:1])),
                        fitted(image[0], reference[0]), reference[0], header,
                    )
                    for method, image in images.items()
                ]  # fmt: skip
    print_table(("scan", "method", "NMSE", "PSNR dB", "SSIM", "PSNR to RSS"), rows)
    error_maps(shown).savefig(output, format="png")
    click.echo(f"{output}: images, sampling and errors")
    for sentence in behind:
        click.echo(sentence)
    if any("behind" in sentence for sentence in behind):
        raise SystemExit(1)


def _images(
    path: Path, undersampling: Undersampling, chains: Chains, seed: int
) -> tuple[dict[str, Tensor], UndersampledScan, ismrmrd.ImageHeader]:
    """Magnitudes `(slice, y, x)` by method, where maps are certain; which lines were left; a header."""
    with open_raw(path) as raw:
        thinned = undersample(raw.header_xml, undersampling, rng=torch.Generator().manual_seed(seed))
        scan = Scan.from_xml(raw.header_xml)
        everything = chains.buffers(scan, raw)
        buffers = chains.buffers(thinned.scan, thinned.lines(raw))
        whole, header = chains.pixels("sense", scan, raw)
        images = {"all lines": whole}
        for pipeline in ("sense", *(["grappa"] if undersampling.sampling == "equispaced" else [])):
            images[pipeline.upper()] = chains.pixels(pipeline, thinned.scan, thinned.lines(raw))[0]
        images["wavelets"] = torch.stack(list(map(_wavelets, buffers, whole)))
        images[chains.model] = chains.pixels("kband", thinned.scan, thinned.lines(raw))[0]
    images["root sum of squares"] = torch.cat(
        [sum_of_squares(to_image(buffer.planes()[0]), buffer).abs() for buffer in everything]
    )
    certain = torch.cat([(buffer.csm[0, :, 0] != 0).any(-3) for buffer in everything])
    return {method: image * certain for method, image in images.items()}, thinned, header


@dataclass(frozen=True)
class Chains:
    """The installed pipelines, with a model of choice, and without `CoilWhitening` if so wanted."""

    model: str
    unwhitened: bool

    def pixels(self, pipeline: str, scan: Scan, lines: Iterable) -> tuple[Tensor, ismrmrd.ImageHeader]:
        """The images of a scan through an installed pipeline, and the first one's header.

        A fallback, or a flaw, stops the benchmark.
        """
        verdict = Verdict()
        images = list(run(Pipeline(self._gadgets(pipeline)), scan, lines, verdict))
        fallbacks = [image.meta["kband_fallback"] for image in images if image.meta["kband_fallback"] != "no"]
        if verdict.flaw or fallbacks:
            raise click.ClickException(f"{pipeline}: {verdict.flaw or fallbacks[0]}")
        images.sort(key=lambda image: image.slice)
        pixels = [torch.from_numpy(image.data[0, 0].astype("float32")) for image in images]
        return torch.stack(pixels), images[0].getHead()

    def buffers(self, scan: Scan, lines: Iterable) -> list[ReconBuffer]:
        """The slices of a scan as they come to the network: whitened, compressed, with maps."""
        before = list(takewhile(lambda gadget: not isinstance(gadget, KBandRecon), self._gadgets("kband")))
        items = run(Pipeline(before), scan, lines, Verdict())
        buffers = [item.single((0, 0, 0)) for item in items if isinstance(item, ReconBuffer)]
        return sorted(buffers, key=ReconBuffer.slice_counters)

    def _gadgets(self, pipeline: str) -> list[Gadget]:
        gadgets = Pipeline.from_xml(installed_xml(pipeline)).gadgets
        for gadget in gadgets:
            if isinstance(gadget, KBandRecon):
                gadget.model = self.model
        return [gadget for gadget in gadgets if not (self.unwhitened and isinstance(gadget, CoilWhitening))]


def _wavelets(buffer: ReconBuffer, reference: Tensor) -> Tensor:
    kspace, sampling = buffer.planes()
    measured = (kspace * sampling.mask)[0]
    tried = []
    for weight in WEIGHTS:
        image = bart(["pics", "-S", "-R", f"W:3:0:{weight}", "-i", "100"], measured, buffer.csm[0, 0])
        tried.append((image[0] * shading(buffer.csm[0], unmixing_of(buffer)))[0].abs())
    return min(tried, key=lambda image: float(nmse(fitted(image, reference), reference)))


def figures_of(image: Tensor, reference: Tensor, rss: Tensor) -> Figures:
    metrics: Sequence[Callable] = (nmse, psnr, ssim)
    slices = [
        (*(float(metric(fitted(x, y), y)) for metric in metrics), float(psnr(fitted(x, z), z)))
        for x, y, z in zip(image, reference, rss, strict=True)
    ]
    return Figures(*map(statistics.mean, zip(*slices, strict=True)))


def _behind(label: str, figures: dict[str, Figures], model: str) -> list[str]:
    """Sentences: whom the network is behind in what, and by how much it leads the wavelets."""
    ours = figures[model]
    found = [
        f"{label}: behind {method} in {what}"
        for method, theirs in figures.items()
        for what, worse in (("NMSE", ours.nmse > theirs.nmse), ("SSIM", ours.ssim < theirs.ssim))
        if worse
    ]
    gain = ours.psnr - figures["wavelets"].psnr
    return [*found, f"{label}: {gain:+.2f} dB PSNR over the wavelets; the aim is +{AIM}"]


if __name__ == "__main__":
    main()
