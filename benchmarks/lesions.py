"""Faint lesions put into real brains: how much of their contrast is left when lines are."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from fault_scans import FaultyScan, real
from measure import data_option, print_conditions, print_table
from torch import Tensor

from gadgets.items import ImageArray
from gadgets.recon.kband_recon import KBandRecon
from gadgets.scan import Scan
from kband_core.fourier import to_image, to_kspace
from kband_core.plural import counted
from kband_core.self_ensemble import GUISES
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict

BRAINS = {"t1": "brain_t1_8ch", "flash": "brain_flash_16ch"}
ACCELERATIONS, SIZES = (3, 4), (2, 3, 4)  # pixels across
PEERS = ("sense", "grappa", "raki")
BRIGHTER, N_LESIONS = 0.1, 16
APART, INSIDE = 12, 6  # pixels between two, and to the border of the head
FINER = 8  # drawn points per pixel along each axis
AIM = 0.03  # of the contrast, that a network may lose against SENSE
WORST = 4  # lesions of each acceleration, shown one by one


@dataclass(frozen=True)
class Kept:
    """What each method keeps of the contrast of each lesion; 1 is all. Those of one brain, acceleration and size."""

    brain: str
    acceleration: int
    size: int
    centres: Sequence[tuple[int, int]]
    shares: dict[str, Tensor]


@click.command(context_settings={"show_default": True})
@data_option
@click.option("--model", default=KBandRecon().model, help="Model of the registry.")
@click.option("--denoising", "shares", multiple=True, default=(1.0, 0.5, 0.25), show_default=True,
              help="Share of the noise that the network is told; or several.")
@click.option("--self-ensemble", default=1, type=click.IntRange(1, 1 + len(GUISES)),
              help="Guises of a scan whose images it averages.")
@click.option("--seed", default=0, help="Of the places.")
def main(data: Path, model: str, shares: tuple[float, ...], self_ensemble: int, seed: int) -> None:
    """Exit with 1 if the network keeps less of a lesion than SENSE, by more than 3 points."""
    logging.disable(logging.CRITICAL)
    print_conditions(
        f"{N_LESIONS} discs, {100 * BRIGHTER:.0f} % brighter in all coils of fully sampled brains, seed {seed}; every\n"
        f"R-th line and 24 ACS lines through the pipelines; {model}, {counted(self_ensemble, 'guise')}, told a share\n"
        "of the noise. Contrast kept: the difference of the images with and without lesions, projected around each\n"
        "on that of the full images. Mean, in brackets the least."
    )
    networks = {
        f"kband {share:g}": KBandRecon(model=model, denoising=share, self_ensemble=self_ensemble) for share in shares
    }
    methods: dict[str, KBandRecon | None] = {**networks, **dict.fromkeys(PEERS)}
    found = [
        kept for brain, stem in BRAINS.items() for acceleration in ACCELERATIONS
        for kept in _of_one_brain(brain, data / f"{stem}.h5", acceleration, methods, seed)
    ]  # fmt: skip
    rows = [
        (f"{kept.brain}, R={kept.acceleration}, {kept.size} px",
         *(f"{kept.shares[method].mean():.2f} ({kept.shares[method].min():.2f})" for method in methods))
        for kept in found
    ]  # fmt: skip
    print_table(("", *methods), rows)
    print_table(("worst of the first", *methods), _worst(found, list(methods)))
    sense = torch.cat([kept.shares["sense"] for kept in found])
    n_behind = 0
    for name in networks:
        network = torch.cat([kept.shares[name] for kept in found])
        behind = int((network < sense - AIM).sum())
        n_behind += behind
        click.echo(
            f"{name}: mean {network.mean():.2f} (SENSE {sense.mean():.2f}), least {network.min():.2f}; {behind} of "
            f"{len(network)} lesions more than {100 * AIM:.0f} points behind SENSE"
        )
    if n_behind:
        raise SystemExit(1)


def _of_one_brain(
    brain: str, path: Path, acceleration: int, methods: Mapping[str, KBandRecon | None], seed: int
) -> Iterator[Kept]:
    rss = real(path).reference
    centres = _places(rss, torch.Generator().manual_seed(seed))
    without = {name: _pixels(name, network, real(path, acceleration)) for name, network in methods.items()}
    all_without = _pixels("sense", None, real(path))
    for size in SIZES:
        lesions = sum(_disc(rss.shape, centre, size) for centre in centres)

        def brighter(kspace: Tensor, lesions: Tensor = lesions) -> Tensor:
            return to_kspace(to_image(kspace) * (1 + BRIGHTER * lesions))

        truth = _pixels("sense", None, real(path, change=brighter)) - all_without
        shares = {}
        for name, network in methods.items():
            difference = _pixels(name, network, real(path, acceleration, change=brighter)) - without[name]
            shares[name] = torch.stack([_share(difference, truth, centre, size) for centre in centres])
        click.echo(f"{brain}, R={acceleration}, {size} px", err=True)
        yield Kept(brain, acceleration, size, centres, shares)


def _places(rss: Tensor, rng: torch.Generator) -> list[tuple[int, int]]:
    """Draw pixels inside the head, not dark, none near another."""
    smooth = torch.nn.functional.avg_pool2d(rss[None, None], 5, stride=1, padding=2)[0, 0]
    bright = smooth > 0.5 * torch.quantile(smooth, 0.8)
    head = -torch.nn.functional.max_pool2d(-bright.float()[None, None], 2 * INSIDE + 1, stride=1, padding=INSIDE)[0, 0]
    candidates = (head > 0).nonzero()
    chosen: list[tuple[int, int]] = []
    for index in torch.randperm(len(candidates), generator=rng).tolist():
        y, x = candidates[index].tolist()
        if all((y - v) ** 2 + (x - u) ** 2 >= APART**2 for v, u in chosen):
            chosen.append((y, x))
        if len(chosen) == N_LESIONS:
            return chosen
    raise click.ClickException(f"{len(chosen)} lesions find room in the head, {N_LESIONS} wanted")


def _disc(shape: Sequence[int], centre: tuple[int, int], size: int) -> Tensor:
    """A disc `size` pixels across, 1 inside, with the share of each pixel on its border; `(y, x)`."""
    y, x = (
        torch.arange(n * FINER) / FINER + 0.5 / FINER - 0.5 - middle for n, middle in zip(shape, centre, strict=True)
    )
    inside = (y[:, None].square() + x.square() <= (size / 2) ** 2).float()
    return torch.nn.functional.avg_pool2d(inside[None, None], FINER)[0, 0]


def _share(difference: Tensor, truth: Tensor, centre: tuple[int, int], size: int) -> Tensor:
    reach = size // 2 + 3
    around = tuple(slice(max(c - reach, 0), c + reach + 1) for c in centre)
    return (difference[around] * truth[around]).sum() / truth[around].square().sum()


def _pixels(name: str, network: KBandRecon | None, scan: FaultyScan) -> Tensor:
    """The magnitude `(y, x)` that a network or a pipeline makes, before it becomes whole numbers.

    A fallback stops the benchmark.
    """
    gadgets = Pipeline.from_xml(installed_xml("kband" if network else name)).gadgets
    last = next(n for n, gadget in enumerate(gadgets) if ImageArray in gadget.emits)
    chain = [*gadgets[:last], network or gadgets[last]]
    array = next(run(Pipeline(chain), Scan.from_xml(scan.header_xml), scan.lines, Verdict()))
    fallback = array.meta[0, 0, 0]["kband_fallback"]
    if fallback != "no":
        raise click.ClickException(f"{name}: {fallback}")
    return array.data[0, 0, 0, 0, 0].abs()


def _worst(found: Sequence[Kept], methods: Sequence[str]) -> list[tuple[str, ...]]:
    """Of each acceleration the lesions that lose most by the first of the methods."""
    rows = []
    for acceleration in ACCELERATIONS:
        single = [(kept, n) for kept in found if kept.acceleration == acceleration for n in range(N_LESIONS)]
        single.sort(key=lambda one: float(one[0].shares[methods[0]][one[1]]))
        for kept, n in single[:WORST]:
            y, x = kept.centres[n]
            cells = (f"{kept.shares[method][n]:.2f}" for method in methods)
            rows.append((f"{kept.brain}, R={acceleration}, {kept.size} px, row {y}, column {x}", *cells))
    return rows


if __name__ == "__main__":
    main()
