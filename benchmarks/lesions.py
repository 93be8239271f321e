"""Faint lesions put into real brains: how much of their contrast is left when lines are."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
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
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict

BRAINS = {"t1": "brain_t1_8ch", "flash": "brain_flash_16ch"}
ACCELERATIONS, SIZES = (3, 4), (2, 3, 4)  # pixels across
PIPELINES = ("kband", "sense", "grappa", "raki")
BRIGHTER, N_LESIONS = 0.1, 16
APART, INSIDE = 12, 6  # pixels between two, and to the border of the head
FINER = 8  # drawn points per pixel along each axis
AIM = 0.03  # of the contrast, that a network may lose against SENSE
WORST = 4  # lesions of each acceleration, shown one by one


@dataclass(frozen=True)
class Kept:
    """What each pipeline keeps of the contrast of each lesion; 1 is all. Those of one brain, acceleration and size."""

    brain: str
    acceleration: int
    size: int
    centres: Sequence[tuple[int, int]]
    shares: dict[str, Tensor]


@click.command(context_settings={"show_default": True})
@data_option
@click.option("--model", default=KBandRecon().model, help="Model of the registry.")
@click.option("--seed", default=0, help="Of the places.")
def main(data: Path, model: str, seed: int) -> None:
    """Exit with 1 if the network keeps less of a lesion than SENSE, by more than 3 points."""
    logging.disable(logging.CRITICAL)
    print_conditions(
        f"{N_LESIONS} discs, {100 * BRIGHTER:.0f} % brighter in all coils of fully sampled brains, seed {seed}; every\n"
        "R-th line and 24 ACS lines through the pipelines. Contrast kept: the difference of the images with and\n"
        "without lesions, projected around each on that of the fully sampled images. Mean, in brackets the least."
    )
    found = [
        kept for brain, stem in BRAINS.items() for acceleration in ACCELERATIONS
        for kept in _of_one_brain(brain, data / f"{stem}.h5", acceleration, model, seed)
    ]  # fmt: skip
    rows = [
        (f"{kept.brain}, R={kept.acceleration}, {kept.size} px",
         *(f"{kept.shares[pipeline].mean():.2f} ({kept.shares[pipeline].min():.2f})" for pipeline in PIPELINES))
        for kept in found
    ]  # fmt: skip
    print_table(("", *PIPELINES), rows)
    print_table(("worst of the network", *PIPELINES), _worst(found))
    network, sense = (torch.cat([kept.shares[pipeline] for kept in found]) for pipeline in ("kband", "sense"))
    n_behind = int((network < sense - AIM).sum())
    click.echo(f"the network: mean {network.mean():.2f}, least {network.min():.2f} of {len(network)} lesions")
    if n_behind:
        raise click.ClickException(f"{n_behind} lesions are more than {100 * AIM:.0f} points behind SENSE")


def _of_one_brain(brain: str, path: Path, acceleration: int, model: str, seed: int) -> Iterator[Kept]:
    rss = real(path).reference
    centres = _places(rss, torch.Generator().manual_seed(seed))
    without = {pipeline: _pixels(pipeline, real(path, acceleration), model) for pipeline in PIPELINES}
    all_without = _pixels("sense", real(path), model)
    for size in SIZES:
        lesions = sum(_disc(rss.shape, centre, size) for centre in centres)

        def brighter(kspace: Tensor, lesions: Tensor = lesions) -> Tensor:
            return to_kspace(to_image(kspace) * (1 + BRIGHTER * lesions))

        truth = _pixels("sense", real(path, change=brighter), model) - all_without
        shares = {}
        for pipeline in PIPELINES:
            difference = _pixels(pipeline, real(path, acceleration, change=brighter), model) - without[pipeline]
            shares[pipeline] = torch.stack([_share(difference, truth, centre, size) for centre in centres])
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


def _pixels(pipeline: str, scan: FaultyScan, model: str) -> Tensor:
    """The magnitude `(y, x)` that a pipeline makes, before it becomes whole numbers. A fallback stops the benchmark."""
    gadgets = Pipeline.from_xml(installed_xml(pipeline)).gadgets
    last = next(n for n, gadget in enumerate(gadgets) if ImageArray in gadget.emits)
    if isinstance(gadgets[last], KBandRecon):
        gadgets[last].model = model
    array = next(run(Pipeline(gadgets[: last + 1]), Scan.from_xml(scan.header_xml), scan.lines, Verdict()))
    fallback = array.meta[0, 0, 0]["kband_fallback"]
    if fallback != "no":
        raise click.ClickException(f"{pipeline}: {fallback}")
    return array.data[0, 0, 0, 0, 0].abs()


def _worst(found: Sequence[Kept]) -> list[tuple[str, ...]]:
    """Of each acceleration the lesions that lose most by the network."""
    rows = []
    for acceleration in ACCELERATIONS:
        single = [(kept, n) for kept in found if kept.acceleration == acceleration for n in range(N_LESIONS)]
        single.sort(key=lambda one: float(one[0].shares["kband"][one[1]]))
        for kept, n in single[:WORST]:
            y, x = kept.centres[n]
            cells = (f"{kept.shares[pipeline][n]:.2f}" for pipeline in PIPELINES)
            rows.append((f"{kept.brain}, R={acceleration}, {kept.size} px, row {y}, column {x}", *cells))
    return rows


if __name__ == "__main__":
    main()
