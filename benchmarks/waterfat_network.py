"""UP-Net beside the fit by least squares: simulated scans that nobody trained on, and real echoes, undersampled."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
from matplotlib.figure import Figure
from measure import data_option, print_conditions, print_table
from torch import Tensor
from waterfat import SWAPPED, read, scan_of

from gadgets.images.echoes import Echoes
from gadgets.images.learned_maps import LearnedMaps
from gadgets.images.water_fat import WaterFat
from gadgets.scan import Scan
from kband_core.models import load_card, load_model
from kband_core.plain_yaml import read_yaml
from kband_core.relaxometry.fat_model import synthesise
from kband_core.relaxometry.learned import water_fat_network
from kband_core.relaxometry.water_fat import WaterFatMaps, water_fat
from kband_core.training.recipe_section import checked
from kband_core.training.simulation.procedural_echoes import EchoScan, echo_scan
from kband_core.training.water_fat.material import FIRST
from kband_core.training.water_fat.recipe import WaterFatRecipe
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict

SHINES = 0.075  # of the brightest pixel, from which on maps are judged
WORST = 0.3  # share of pixels left out as those that a method is least sure of
GAUSS, LAPLACE = (2 / torch.pi) ** 0.5, 0.5**0.5  # expected absolute error over SD: of the fit, of the network
REAL = [("09", 8, 2), ("09", 8, 3), ("09", 8, 4), ("09", 4, 3), ("02", 4, 3), ("07", 3, 2), ("13", 3, 2)]
SHOWN = {("09", 8, 3): "real, 8 echoes, R=3", ("09", 8, 4): "real, 8 echoes, R=4"}
QUANTITIES = ("pdff", "r2star", "b0")
Method = Callable[[Tensor, tuple[float, ...], float], WaterFatMaps]


def simulated(recipe: WaterFatRecipe, sampling: str, acceleration: tuple[float, float], count: int) -> list[EchoScan]:
    """Scans that are `judged` alone, of one way to undersample."""
    scans, made = recipe.scans, []
    for number in range(count):
        rng = torch.Generator().manual_seed(FIRST["judged"] + number)
        made.append(echo_scan((scans.matrix, scans.matrix), rng=rng, n_echoes=scans.echoes, coils=scans.coils,
                              acceleration=acceleration, noise=scans.noise, sampling=sampling))  # fmt: skip
    return made


def row_of(method: Method, scans: list[EchoScan], share: float) -> tuple[list[str], WaterFatMaps, Tensor]:
    """Errors of one method on simulated scans, its maps of the last one, and what it expected and what came, `(2, map,
    pixel)`. `share`: of an SD, the absolute error.
    """
    errors, said, unsure, nrmse, seconds = [], [], [], [], []
    for one in scans:
        began = time.perf_counter()
        found = method(one.echoes, one.times_ms, one.field_t)
        seconds.append(time.perf_counter() - began)
        truth, total = one.truth, one.truth.water.abs() + one.truth.fat.abs()
        inside = total > SHINES * total.quantile(0.98)
        pdff = 100 * truth.fat.abs() / total.clamp(min=1e-9)
        apart = torch.stack((found.pdff - pdff, found.r2star - truth.r2star, found.b0 - truth.b0))
        errors.append(apart[:, inside].abs())
        said.append(share * torch.stack([getattr(found, f"sd_{name}") for name in QUANTITIES])[:, inside])
        unsure.append(found.unsure[inside])
        made, right = (
            synthesise(maps.water, maps.fat, maps.r2star, maps.b0, torch.tensor(one.times_ms), one.field_t)
            for maps in (found, truth)
        )
        nrmse.append(float((made - right)[:, inside].norm() / right[:, inside].norm()))
    errors, said, unsure = torch.cat(errors, 1), torch.cat(said, 1), torch.cat(unsure)
    swapped = errors[0] > SWAPPED
    kept = said[0] <= said[0].quantile(1 - WORST)
    row = [f"{float(error.mean()):.2f}" for error in errors]
    row += [f"{100 * float((swapped & chosen).float().mean()):.2f}" for chosen in (torch.ones_like(unsure), ~unsure)]
    row += [f"{sum(nrmse) / len(nrmse):.4f}", f"{float(errors[0][kept].mean()):.2f}"]
    row += [f"{float(one.mean() / came.mean()):.2f}" for one, came in zip(said, errors, strict=True)]
    row += [f"{spearman(one, came):.2f}" for one, came in zip(said, errors, strict=True)]
    return [*row, f"{1e3 * sum(seconds) / len(seconds):.0f}"], found, torch.stack((said, errors))


def spearman(first: Tensor, second: Tensor) -> float:
    """Correlation of ranks."""
    ranks = torch.stack([one.argsort().argsort().double() for one in (first, second)])
    return float(torch.corrcoef(ranks)[0, 1])


def print_reliability(judged: Tensor, n_bins: int = 6) -> None:
    """Print what was expected and what came, `(2, map, pixel)`, in bins of the former that hold equally many pixels."""
    rows = []
    for unit, (said, came) in zip(("PDFF %", "R2* /s", "B0 Hz"), judged.transpose(0, 1), strict=True):
        order = said.argsort()
        pairs = zip(said[order].tensor_split(n_bins), came[order].tensor_split(n_bins), strict=True)
        rows.append([unit, *(f"{float(one.mean()):.2f}: {float(other.mean()):.2f}" for one, other in pairs)])
    print_table(["expected: came", *(f"{n + 1} of {n_bins}" for n in range(n_bins))], rows)


def through_the_chain(case: tuple[str, int, int], data: Path) -> Echoes:
    """Real echoes as simulated coils see them, every R-th line, as they stand before `WaterFat` in its chain."""
    name, n_echoes, acceleration = case
    echoes, times, field_t = read(data, name)
    header, lines = scan_of(echoes[:n_echoes], times[:n_echoes], field_t, acceleration)
    chain = Pipeline.from_xml(installed_xml("waterfat")).gadgets
    before = next(at for at, gadget in enumerate(chain) if isinstance(gadget, WaterFat))
    made = run(Pipeline(chain[:before]), Scan.from_xml(header), iter(lines), Verdict())
    return next(item for item in made if isinstance(item, Echoes))


def real_row(found: WaterFatMaps, truth: WaterFatMaps, period: float, share: float) -> list[str]:
    """Mean differences from the fit of all echoes where that is sure; swaps, and those without a flag."""
    known = ~truth.unsure
    b0 = torch.remainder(found.b0 - truth.b0 + period / 2, period) - period / 2
    apart = torch.stack((found.pdff - truth.pdff, found.r2star - truth.r2star, b0)).abs()
    swapped = (apart[0] > SWAPPED) & ~found.no_signal
    said = share * found.sd_pdff[known]
    kept = said <= said.quantile(1 - WORST)
    means = [f"{float(one[known].mean()):.2f}" for one in apart]
    shares = [swapped & known, swapped & known & ~found.unsure, found.unsure & known]
    means += [f"{100 * float(one.sum() / known.sum()):.2f}" for one in shares]
    row = [*means, f"{float(apart[0][known][kept].mean()):.2f}", f"{float(said.mean() / apart[0][known].mean()):.2f}"]
    return [*row, f"{spearman(said, apart[0][known]):.2f}"]


def draw(rows: list[tuple[str, Tensor, Tensor, Tensor, Tensor, Tensor]], path: Path) -> None:
    """PDFF: the truth, the fit, the network, both differences, and the error that the network expects."""
    titles = ("truth", "fit", "UP-Net", "fit − truth", "UP-Net − truth", "UP-Net expects")
    windows = [(0, 100, "viridis")] * 3 + [(-20, 20, "RdBu_r")] * 2 + [(0, 10, "magma")]
    figure = Figure(figsize=(24, 4.2 * len(rows)), layout="constrained")
    for row, (name, *maps) in zip(figure.subplots(len(rows), 6, squeeze=False), rows, strict=True):
        for axis, title, values, (low, high, colours) in zip(row, titles, maps, windows, strict=True):
            axis.imshow(values.numpy(), vmin=low, vmax=high, cmap=colours)
            axis.set_title(f"{name}: {title}" if title == "truth" else title)
            axis.set_axis_off()
    figure.savefig(path, dpi=55)


def compared(name: str, truth: Tensor, fit: Tensor, network: Tensor, expected: Tensor, shown: Tensor) -> tuple:
    """A row of the picture, dark where nothing shines."""
    return (name, *(one * shown for one in (truth, fit, network, fit - truth, network - truth, expected)))


@click.command()
@data_option
@click.option("--model", default="simulated_waterfat", show_default=True)
@click.option("--scans", default=32, show_default=True, help="Simulated scans of each kind.")
@click.option("--real/--no-real", default=True, show_default=True, help="Take real echoes through the chain as well.")
@click.option("--picture", type=click.Path(path_type=Path), metavar="PNG", help="Draw PDFF of some.")
def main(data: Path, model: str, scans: int, real: bool, picture: Path | None) -> None:
    """Map water and fat by the network and by the fit, of the same echoes."""
    torch.set_num_threads(1)
    card = load_card(model)
    recipe, network = checked(WaterFatRecipe, read_yaml(card.recipe.encode()), model), load_model(card)

    def by_network(echoes: Tensor, times: tuple[float, ...], field_t: float) -> WaterFatMaps:
        return water_fat_network(echoes, times, field_t, network, card.reliability)

    print_conditions(
        f"{model}: {card.parameters:,} parameters, {card.steps:,} steps on {recipe.scans.n_scans} simulated scans of "
        f"{recipe.scans.matrix} × {recipe.scans.matrix}, seed {card.seed}. Judged on {scans} others of each kind, mean "
        f"absolute errors of pixels that shine; swaps: PDFF {SWAPPED:g} % off, all and without a flag; NRMSE: of the "
        f"echoes that maps make; 70 %: PDFF where the method is surest; σ/|e|: mean expected over mean actual error, "
        f"ρ: correlation of their ranks, of PDFF, R2* and B0; ms: of a slice, from echoes."
    )
    rows, shown, kinds = [], [], {
        "lines, R=1": ("lines", (1.0, 1.0)), "lines, R=2 to 3": ("lines", (2.0, 3.0)),
        "lines, R=4 to 5": ("lines", (4.0, 5.0)), "spokes, R=1 to 2": ("spokes", (1.0, 2.0)),
        "spokes, R=2 to 4": ("spokes", (2.0, 4.0)), "spokes, R=4 to 6": ("spokes", (4.0, 6.0)),
    }  # fmt: skip
    everything = []
    for name, (sampling, acceleration) in kinds.items():
        judged = simulated(recipe, sampling, acceleration, scans)
        for method in (water_fat, by_network):  # the first run of a process is no figure
            method(judged[0].echoes, judged[0].times_ms, judged[0].field_t)
        of_fit, fit, _ = row_of(water_fat, judged, GAUSS)
        of_network, mapped, came = row_of(by_network, judged, LAPLACE)
        everything.append(came)
        rows += [[name, "fit", *of_fit], [name, "UP-Net", *of_network]]
        total = judged[-1].truth.water.abs() + judged[-1].truth.fat.abs()
        pdff = 100 * judged[-1].truth.fat.abs() / total.clamp(min=1e-9)
        inside = total > SHINES * total.quantile(0.98)
        shown.append(compared(name, pdff, fit.pdff, mapped.pdff, LAPLACE * mapped.sd_pdff, inside))
    print_table(["scans", "maps by", "PDFF %", "R2* /s", "B0 Hz", "swaps %", "no flag %", "NRMSE", "70 %", "σ/|e| PDFF",
                 "R2*", "B0", "ρ PDFF", "R2*", "B0", "ms"], rows)  # fmt: skip
    print_reliability(torch.cat(everything, -1))
    if real:
        shown = print_real(data, LearnedMaps(card), shown)
    if picture:
        draw(shown, picture)


def print_real(data: Path, learned: LearnedMaps, shown: list) -> list:
    """Take real echoes through the chain, and hold both maps against the fit of all of them, fully sampled."""
    rows, truths = [], {}
    for case in REAL:
        name, n_echoes, acceleration = case
        echoes, times, field_t = read(data, name)
        truth = truths.setdefault(name, water_fat(echoes, times, field_t))
        made, moments, period = through_the_chain(case, data), times[:n_echoes], 1e3 / (times[1] - times[0])
        began = time.perf_counter()
        fit = water_fat(made.data[:, 0], moments, field_t)
        between = time.perf_counter()
        network = learned.maps(made.data[:, 0], moments, field_t)
        seconds = between - began, time.perf_counter() - between
        is_known = learned.unseen(moments, field_t, tuple(echoes.shape[-2:]), made.meta) is None
        of = [name, f"{n_echoes} of {len(times)}", f"{acceleration}"]
        rows += [[*of, "fit", *real_row(fit, truth, period, GAUSS), f"{seconds[0]:.1f}", ""],
                 [*of, "UP-Net", *real_row(network, truth, period, LAPLACE), f"{seconds[1]:.1f}",
                  "yes" if is_known else "no"]]  # fmt: skip
        if case in SHOWN:
            expected = LAPLACE * network.sd_pdff
            shown.append(compared(SHOWN[case], truth.pdff, fit.pdff, network.pdff, expected, ~truth.unsure))
    print_table(["data", "echoes", "R", "maps by", "PDFF %", "R2* /s", "B0 Hz", "swaps %", "no flag %", "unsure %",
                 "70 %", "σ/|e|", "ρ PDFF", "s", "in card"], rows)  # fmt: skip
    return shown


if __name__ == "__main__":
    main()
