"""How often the bound of the NMSE holds, and how far σ is right: on simulated scans held out, and on real ones."""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from matplotlib.figure import Figure
from measure import data_option, print_conditions, print_table
from torch import Tensor

from gadgets.images.quantitative import EXPECTED_ERROR
from gadgets.recon.kband_recon import KBandRecon
from gadgets.recon.nufft_kband_recon import NufftKBandRecon
from gadgets.scan import Scan
from kband_core.metrics import nmse
from kband_core.models import load_card, load_head, load_model
from kband_core.patterns import equispaced_lines
from kband_core.reconstruct import Given, network_sets
from kband_core.sampling import Grid
from kband_core.training.scans import generator
from kband_core.training.simulation.procedural import procedural_plane
from kband_core.training.uncertainty.judged_scans import judged_scans
from kband_core.training.undersampling import Undersampling
from kband_core.uncertainty.expected_error import expected_error, predicted_nmse
from kband_core.uncertainty.reliability import reliability
from pipelines.evaluation.evaluation import before_network, images, with_maps
from pipelines.evaluation.undersampled_scan import undersample
from pipelines.files.mrd_stream import open_raw

SCANS = ("brain_flash_16ch", "brain_t1_8ch", "brain_prescan_16ch", "head_gre_32ch_4slices", "phantom_flash_16ch")
ACCELERATIONS = (2, 3, 4)
ACS_LINES = {"brain_prescan_16ch": 16}  # of 64 lines; of the others 24
NORMAL_95 = 1.96
BINS = 5
BRIGHT = 0.95  # quantile of the magnitude, which σ and errors are shown in % of


@dataclass(frozen=True)
class Judged:
    """One image: its NMSE and the bound it told; σ and error `(y, x)` in % of its brightness, where there are maps."""

    name: str
    nmse: float
    bound: float
    sigma: Tensor
    error: Tensor

    @property
    def holds(self) -> bool:
        return self.nmse <= self.bound


@click.command(context_settings={"show_default": True})
@data_option
@click.option("--model", default=KBandRecon().model, help="Model of the registry, with a head, for whole lines.")
@click.option("--simulated", default=100, help="Simulated scans of each kind, neither taught nor calibrated by.")
@click.option("--seeds", default=2, help="Draws of the lines of every real scan.")
@click.option("-o", "--output", default="coverage.png", type=click.Path(path_type=Path), help="Maps of σ and error.")
def main(data: Path, model: str, simulated: int, seeds: int, output: Path) -> None:
    """Print coverage and reliability, and draw σ beside the true error of the first draw of each real scan."""
    logging.basicConfig(level=logging.ERROR)
    told = load_card(model).uncertainty
    print_conditions(
        f"model {model}, bound of {100 * told.level:g} % from {told.n_scans} held-out scans: {told.factor:.2f} times\n"
        "the NMSE that σ predicts. NMSE of magnitudes against all lines, with their noise, through the same coils and\n"
        f"maps. Simulated: {simulated} scans of each kind. Real: R = 2, 3, 4 with 24 ACS lines (16 of 64), {seeds}\n"
        "draws of each; equispaced lines differ in where they begin. Interval: 95 %, as if images were independent."
    )
    radial = NufftKBandRecon().model
    made = {f"simulated, {name}": list(_simulated(name, simulated)) for name in (radial, model)}
    real = {stem: list(_real(data / f"{stem}.h5", model, seeds)) for stem in SCANS}
    everything = [one for found in real.values() for one in found]
    rows = [_row(name, found) for name, found in made.items()]
    for stem, found in real.items():
        for sampling in ("lines", "equispaced"):
            rows.append(_row(f"{stem}, {sampling}", [one for one in found if sampling in one.name]))
    for what in ("lines", "equispaced", "R=2", "R=3", "R=4"):
        rows.append(_row(f"all real, {what}", [one for one in everything if what in one.name]))
    rows.append(_row("all real", everything))
    print_table(("scans", "images", "bound holds", "interval", "median NMSE", "median bound", "bound / NMSE"), rows)
    print_table(
        ("mean error over σ, by σ from small to large", *(f"{n + 1}/{BINS}" for n in range(BINS))),
        [(name, *_slopes(found)) for name, found in (made | real).items()],
    )
    click.echo(f"it costs {_cost(model):.0f} ms of one core beside an image of 256² and 12 coils, the least of five")
    _picture([one for found in real.values() for one in found[: 2 * len(ACCELERATIONS) : 2]]).savefig(output)
    click.echo(f"{output}: σ and true errors")


def _cost(model: str) -> float:
    """Return how many ms of the processor's time bound and map take beside an image of 256² and 12 coils."""
    plane = procedural_plane((256, 256), n_coils=12, rng=generator("cost"))
    lines = equispaced_lines(256, 3, acs_lines=24, offset=0)
    kspace, sampling, csm = plane.kspace[None] * lines.mask, Grid(lines.mask[None]), plane.csm[None]
    image, card, times = network_sets(kspace, sampling, csm, load_model(model)), load_card(model), []
    for _ in range(5):
        start = time.process_time()
        given = Given.on_grid(kspace, sampling, csm)
        predicted_nmse(expected_error(image, given, load_head(model), card.reliability["image"]), image[:, 0])
        times.append(time.process_time() - start)
    return 1000 * min(times)


def _simulated(model: str, n_scans: int) -> Iterator[Judged]:
    card, head = load_card(model), load_head(model)
    for one in judged_scans(card, n_scans, seed="coverage", device=torch.device("cpu")):
        with torch.no_grad():
            sigma = card.reliability["image"].calibrated(head(one.evidence.float()[None])[0]) * one.mapped
        bound = card.uncertainty.factor * float(predicted_nmse(sigma, one.image))
        percent = 100 / torch.quantile(one.image, BRIGHT)
        yield Judged(model, float(one.nmse), bound, sigma * percent, one.error * percent)


def _real(path: Path, model: str, n_seeds: int) -> Iterator[Judged]:
    acs_lines = ACS_LINES.get(path.stem, 24)
    with open_raw(path) as raw:
        whole = Scan.from_xml(raw.header_xml)
        full = before_network(whole, raw, acs_lines)
        truth = {key: image.abs() for key, (image, *_) in images(KBandRecon(model), whole, with_maps(full))}
        for seed in range(n_seeds):
            for sampling in ("lines", "equispaced"):
                for acceleration in ACCELERATIONS:
                    undersampling = Undersampling(
                        line_acceleration=acceleration, acs_lines=acs_lines, sampling=sampling
                    )
                    rng = torch.Generator().manual_seed(seed)
                    thinned = undersample(raw.header_xml, undersampling, rng=rng)
                    items = before_network(thinned.scan, thinned.lines(raw), acs_lines)
                    name = f"{path.stem} {sampling} R={acceleration}"
                    yield from _judged(name, model, thinned.scan, with_maps(items), truth)


def _judged(name: str, model: str, scan: Scan, items: Iterator, truth: dict) -> Iterator[Judged]:
    gadget = KBandRecon(model, uncertainty=True)
    bounds, shown = {}, {}
    for key, (image, _, meta) in images(gadget, scan, items):
        if meta.get("kband_quantity") == EXPECTED_ERROR.name:
            brightness = torch.quantile(truth[key], BRIGHT)
            error = 100 / brightness * (shown[key] - truth[key]).abs()
            yield Judged(
                name, float(nmse(shown[key], truth[key])), bounds[key], image.real / EXPECTED_ERROR.scale, error
            )
        elif "kband_nmse_bound" in meta:
            bounds[key], shown[key] = float(meta["kband_nmse_bound"]), image.abs()
        else:
            raise click.ClickException(f"{name}: {meta['ImageComments']}")


def _row(name: str, found: Sequence[Judged]) -> tuple[str, ...]:
    low, high = _wilson(sum(one.holds for one in found), len(found))
    typical = statistics.median(one.nmse for one in found), statistics.median(one.bound for one in found)
    return (
        name, f"{len(found)}", f"{100 * sum(one.holds for one in found) / len(found):.1f} %",
        f"{100 * low:.0f} to {100 * high:.0f} %", f"{typical[0]:.2g}", f"{typical[1]:.2g}",
        f"{statistics.median(one.bound / one.nmse for one in found):.1f}",
    )  # fmt: skip


def _wilson(n_good: int, n: int) -> tuple[float, float]:
    """Return the interval of a share, of 95 %."""
    share, z = n_good / n, NORMAL_95
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def _slopes(found: Sequence[Judged]) -> list[str]:
    shown = [one.sigma > 0 for one in found]
    sigma = torch.cat([one.sigma[where] for one, where in zip(found, shown, strict=True)])
    error = torch.cat([one.error[where] for one, where in zip(found, shown, strict=True)])
    return [f"{slope:.2f}" for slope in reliability(sigma, error, BINS).slopes]


def _picture(found: Sequence[Judged]) -> Figure:
    figure = Figure(figsize=(2.2 * len(found), 4.8), layout="constrained")
    for (above, below), one in zip(figure.subplots(2, len(found)).T, found, strict=True):
        white = float(torch.quantile(one.error[one.sigma > 0], 0.99))
        above.imshow(one.sigma, cmap="gray", vmin=0, vmax=white)
        below.imshow(one.error, cmap="gray", vmin=0, vmax=white)
        above.set_title(f"{one.name}\nσ, white {white:.1f} %", fontsize=5)
        below.set_title(f"|error|, NMSE {one.nmse:.2g}, bound {one.bound:.2g}", fontsize=5)
        for axes in (above, below):
            axes.axis("off")
    return figure


if __name__ == "__main__":
    main()
