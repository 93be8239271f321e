"""What it gains and costs that the network which ships adapts itself to each real scan, and what its rule loses."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from measure import data_option, fitted, print_conditions, print_table
from torch import Tensor, nn

from gadgets.errors import ScanError
from gadgets.items import ReconBuffer
from gadgets.recon.combined import noise_of, unmixing_of
from gadgets.recon.kband_recon import KBandRecon
from gadgets.recon.network import Network
from gadgets.scan import Scan
from kband_core.adaptation.adapting import STEPS
from kband_core.adaptation.learner import Learner
from kband_core.adaptation.stopping import EVERY, StoppingRule
from kband_core.completion import complete
from kband_core.metrics import nmse, psnr, ssim
from kband_core.models import load_card, load_model
from kband_core.noise import noise_level
from kband_core.reconstruct import Given
from kband_core.training.undersampling import Undersampling
from pipelines.evaluation.evaluation import Judged, before_network, images
from pipelines.evaluation.undersampled_scan import UndersampledScan, undersample
from pipelines.files.mrd_stream import open_raw
from pipelines.pictures.error_maps import error_maps

SCANS = {"t1": "brain_t1_8ch", "flash": "brain_flash_16ch", "gre": "head_gre_32ch_4slices",
         "prescan": "brain_prescan_16ch", "phantom": "phantom_flash_16ch"}  # fmt: skip
PROTOCOLS = (("lines", 4), ("lines", 3), ("equispaced", 4), ("equispaced", 3))
ACS_LINES = {"prescan": 16}  # of 64 lines; of the others 24
PICTURED = (("lines", 4), ("equispaced", 3))
METRICS = {"nmse": nmse, "psnr": psnr, "ssim": ssim}


@dataclass(frozen=True)
class Look:
    """An image `(y, x)` after some steps, and its figures."""

    step: int
    image: Tensor
    figures: dict[str, float]


@dataclass(frozen=True)
class Course:
    """Every look at an image that adapts, as far as it may go; at which the rule ends, which it keeps, and when."""

    looks: Sequence[Look]
    kept: Look
    tried: int
    gain: float
    seconds: float

    @property
    def oracle(self) -> Look:
        """The look with the least true error."""
        return min(self.looks, key=lambda look: look.figures["nmse"])


@click.command(context_settings={"show_default": True})
@data_option
@click.option("--model", default=KBandRecon().model, help="Model of the registry.")
@click.option(
    "--scan", "scans", multiple=True, type=click.Choice(list(SCANS)), default=list(SCANS), help="Which scans."
)
@click.option("--seed", default=0, help="Of the random lines.")
@click.option("-o", "--output", default="adaptation.png", type=click.Path(path_type=Path), help="The picture.")
def main(data: Path, model: str, scans: tuple[str, ...], seed: int, output: Path) -> None:
    """Print every scan; a gain that the rule let go, or a loss that it took for one, stands beside the oracle's."""
    logging.basicConfig(level=logging.ERROR)
    print_conditions(
        f"model {model}, at most {STEPS} steps; 24 ACS lines (16 of prescan), seed {seed}, the first slice.\n"
        "Magnitudes after one least-squares factor, where maps of all lines are certain; reference: all lines through\n"
        "the same coils and maps. 'held out': what of the error of the lines that judge is gone, of which the rule\n"
        "wants 1 %; steps: kept of those tried; s: of one core until the rule ends it; kept, oracle: what the image\n"
        "at the rule's step gains, and that of the look, one every fifth step, with the least true error."
    )
    rows, gains, shown = [], [], list[Judged]()
    for name in scans:
        for sampling, acceleration in PROTOCOLS:
            undersampling = Undersampling(
                line_acceleration=acceleration, acs_lines=ACS_LINES.get(name, 24), sampling=sampling
            )
            buffer, truth, thinned, header = _scan(data / f"{SCANS[name]}.h5", undersampling, seed)
            label = f"{name} {'×'.join(map(str, truth.shape))}, {sampling} R={acceleration}"
            try:
                course = _course(model, buffer, truth)
            except (ScanError, ValueError) as error:
                click.echo(f"{label}: {error}")
                continue
            rows.append(_row(label, course))
            gains.append(
                [look.figures["psnr"] - course.looks[0].figures["psnr"] for look in (course.kept, course.oracle)]
            )
            looks = {model: course.looks[0], f"kept, {course.kept.step} steps": course.kept,
                     f"oracle, {course.oracle.step} steps": course.oracle}  # fmt: skip
            shown += [
                Judged(label, 0, 0, 0, 0, method, thinned, look.figures, look.image, truth, header)
                for method, look in looks.items() if (sampling, acceleration) in PICTURED
            ]  # fmt: skip
    if not rows:
        return
    print_table(("scan", "held out", "steps", "s", "NMSE", "PSNR dB", "kept", "oracle", "at", "SSIM", "kept"), rows)
    kept, oracle = zip(*gains, strict=True)
    click.echo(
        f"mean gain of {len(gains)}: {statistics.mean(kept):+.3f} dB PSNR, oracle {statistics.mean(oracle):+.3f} dB"
    )
    error_maps(shown).savefig(output, format="png")
    click.echo(f"{output}: images, sampling and errors")


def _scan(path: Path, undersampling: Undersampling, seed: int) -> tuple[ReconBuffer, Tensor, UndersampledScan, object]:
    """The first slice with lines left out, what all of them show where maps are certain, which were left, a header."""
    with open_raw(path) as raw:
        thinned = undersample(raw.header_xml, undersampling, rng=torch.Generator().manual_seed(seed))
        whole = Scan.from_xml(raw.header_xml)
        full = before_network(whole, raw, undersampling.acs_lines)
        items = before_network(thinned.scan, thinned.lines(raw), undersampling.acs_lines)
    _, (image, header, _) = min(images(KBandRecon(), whole, [_first(full)]), key=lambda found: found[0])
    certain = (_first(full).csm[0, 0, 0] != 0).any(0)
    return _first(items), image.abs() * certain, thinned, header


def _first(items: Sequence[object]) -> ReconBuffer:
    buffers = (item for item in items if isinstance(item, ReconBuffer))
    return min(buffers, key=ReconBuffer.slice_counters).single((0, 0, 0))


def _course(model: str, buffer: ReconBuffer, truth: Tensor) -> Course:
    Network(load_card(model)).require_known(buffer)
    kspace, sampling = buffer.planes()
    noise, network = noise_level(kspace, sampling.mask), load_model(model)
    given = Given.on_grid(kspace, sampling, buffer.csm[0], noise)
    last = range(network.unrolls - 1, network.unrolls)
    before_last = network.unroll(network.begin(given.kspace, given.operator, given.noise), range(last.start))

    def look(step: int, learnt: nn.Module) -> Look:
        sets = learnt.unroll(before_last, last).image * given.scale[:, None, None, None]
        return Look(step, *_figures(sets, buffer, truth))

    first = look(0, network)
    start = time.process_time()
    learner = Learner(network, kspace, sampling, buffer.csm[0], noise, rng=torch.Generator().manual_seed(0))
    rule, ended, beside = StoppingRule(learner.error()), None, 0.0
    looks = [first]
    for step in range(1, STEPS + 1):
        learner.step()
        if step % EVERY:
            continue
        error = learner.error()
        if ended is None:
            rule.look(step, error)
            if rule.is_over or step == STEPS:
                ended = step, time.process_time() - start - beside
        before = time.process_time()
        looks.append(look(step, learner.model_with(learner.learnt())))
        beside += time.process_time() - before
    kept = looks[rule.step // EVERY] if rule.has_gained else looks[0]
    return Course(looks, kept, ended[0], 1 - rule.least / rule.before, ended[1])


def _figures(sets: Tensor, buffer: ReconBuffer, truth: Tensor) -> tuple[Tensor, dict[str, float]]:
    kspace, sampling = buffer.planes()
    made = complete(
        sets, buffer.csm[0], kspace, sampling, fill=None, noise=noise_of(buffer), unmixing=unmixing_of(buffer)
    )
    image = fitted(made.image[0].abs() * (truth > 0), truth)
    return image, {name: float(metric(image, truth)) for name, metric in METRICS.items()}


def _row(label: str, course: Course) -> tuple[str, ...]:
    first, kept, oracle = course.looks[0].figures, course.kept.figures, course.oracle.figures
    return (
        label, f"{100 * course.gain:.1f} %", f"{course.kept.step} of {course.tried}", f"{course.seconds:.0f}",
        f"{first['nmse']:.4f}", f"{first['psnr']:.2f}", f"{kept['psnr'] - first['psnr']:+.2f}",
        f"{oracle['psnr'] - first['psnr']:+.2f}", f"{course.oracle.step}", f"{first['ssim']:.3f}",
        f"{kept['ssim'] - first['ssim']:+.4f}",
    )  # fmt: skip


if __name__ == "__main__":
    main()
