"""Partial Fourier: zeros, homodyne, POCS and what decides between them, on brains of which one side is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import click
import torch
from measure import data_option, fully_sampled, print_conditions, print_table
from peers import bart, require_bart
from torch import Tensor

from gadgets.recon.sense import Sense
from kband_core.calibration import coil_maps
from kband_core.coils import combine, merge_sets
from kband_core.fourier import to_image, to_kspace
from kband_core.metrics import nrmse
from kband_core.models import load_card, load_model
from kband_core.partial_fourier import Span, homodyne, pocs, trusted_pocs
from kband_core.reconstruct import network, sense
from kband_core.sampling import Grid

BRAINS = [("flash", "brain_flash_16ch", 0), ("t1", "brain_t1_8ch", 0), ("prescan", "brain_prescan_16ch", 0),
          *((f"gre slice {n}", "head_gre_32ch_4slices", n) for n in range(4)),
          ("se", "brain_se_2avg_noise_2ch", 0)]  # fmt: skip
EIGHTHS = (5, 6, 7)
ENDS = ("first", "last")
ACS_LINES = 24
MODEL = "simulated_small"
LIMIT = 1.02  # times the error of zeros


class Brain(NamedTuple):
    """K-space `(coil, ky, kx)`, maps `(set, coil, y, x)`, and the image of all lines."""

    name: str
    kspace: Tensor
    csm: Tensor
    reference: Tensor

    @classmethod
    def of(cls, name: str, kspace: Tensor) -> Brain:
        start = kspace.shape[-2] // 2 - ACS_LINES // 2
        maps = coil_maps(kspace[:, start : start + ACS_LINES].contiguous(), kspace.shape[-2:])
        return cls(name, kspace, maps.certain(), merge_sets(combine(to_image(kspace), maps.csm)))


class Outcome(NamedTuple):
    """NRMSE of the magnitude: as the image came, homodyne, POCS, auto; and what auto found."""

    zeros: float
    homodyne: float
    pocs: float
    auto: float
    correlation: float
    weight: float


def span_of(length: int, dim: int, eighths: int, end: str) -> Span:
    """What is left of so many samples."""
    cut = length - round(length * eighths / 8)
    return Span(dim, length, cut, length) if end == "first" else Span(dim, length, 0, length - cut)


def outcome(image: Tensor, span: Span, reference: Tensor) -> Outcome:
    found = trusted_pocs(image, [span])
    images = image, homodyne(image, [span]), pocs(image, [span]), found.image
    errors = (float(nrmse(one.abs(), reference.abs())) for one in images)
    return Outcome(*errors, found.correlation, found.weight)


def combined(brain: Brain, span: Span) -> Tensor:
    """The fully sampled image without what lies outside the span."""
    return to_image(to_kspace(brain.reference) * span.measured())


def undersampled(brain: Brain, span: Span, acceleration: int) -> tuple[Tensor, Grid]:
    """Every R-th line within the span along ky, and the ACS lines."""
    from_centre = torch.arange(span.length) - span.length // 2
    rows = span.measured().flatten() & (from_centre % acceleration == 0)
    rows[(from_centre >= -ACS_LINES // 2) & (from_centre < ACS_LINES // 2)] = True
    return (brain.kspace * rows[:, None])[None], Grid(rows[None, :, None])


def by_sense(brain: Brain, span: Span, acceleration: int) -> Tensor:
    kspace, sampling = undersampled(brain, span, acceleration)
    settings = {"regularisation": Sense.regularisation, "n_iterations": Sense.n_iterations}
    return sense(kspace, sampling, brain.csm[None], **settings)[0]


def by_network(brain: Brain, span: Span, acceleration: int) -> Tensor:
    kspace, sampling = undersampled(brain, span, acceleration)
    return network(kspace, sampling, brain.csm[None], load_model(load_card(MODEL)))[0]


@click.command()
@data_option
def main(data: Path) -> None:
    """Exit with 1 if `auto` exceeds 1.02 of the error of zeros, or any mean of a fixed choice."""
    require_bart()
    brains = [Brain.of(name, fully_sampled(data / f"{stem}.h5", slice_)) for name, stem, slice_ in BRAINS]
    print_conditions("NRMSE of the magnitude to the image of all lines, coils combined by the same maps.")
    click.echo("Combined image, the last rows left out. BART: homodyne on the same k-space.")
    _table(brains)
    click.echo(
        "Means over brains, 5/8 to 7/8 and both ends; worst is the largest ratio of auto to zeros.\n"
        f"SENSE and {MODEL} had every R-th line and {ACS_LINES} ACS lines within the span along ky."
    )
    wrong = _summary(brains)
    if wrong:
        raise click.ClickException("; ".join(wrong))


def _table(brains: list[Brain]) -> None:
    rows = []
    for brain, eighths in product(brains, EIGHTHS):
        span = span_of(brain.reference.shape[-2], -2, eighths, "last")
        image = combined(brain, span)
        theirs = bart(["homodyne", "1", f"{eighths / 8}"], to_kspace(image)[None])[0, 0]
        error = float(nrmse(theirs.abs(), brain.reference.abs()))
        found = outcome(image, span, brain.reference)
        rows.append((brain.name, f"{eighths}/8", *(f"{value:.4f}" for value in found[:4]), f"{error:.4f}",
                     f"{found.correlation:.2f}", f"{found.weight:.0%}"))  # fmt: skip
    header = "brain", "ky", "zeros", "homodyne", "POCS", "auto", "BART homodyne", "strip correlates", "weight"
    print_table(header, rows)


def _summary(brains: list[Brain]) -> list[str]:
    rows, wrong = [], []
    for name, found in _all_outcomes(brains):
        means = [mean(values) for values in zip(*found, strict=True)][:4]
        worst = max(one.auto / one.zeros for one in found)
        rows.append((name, *(f"{value:.4f}" for value in means), f"{worst:.3f}"))
        if not name.startswith(MODEL) and (worst > LIMIT or min(means) < means[3]):
            wrong.append(f"{name}: auto {means[3]:.4f} of {means}, worst {worst:.3f}")
    print_table(("image", "zeros or own", "homodyne", "POCS", "auto", "worst"), rows)
    return wrong


def _all_outcomes(brains: list[Brain]) -> Iterator[tuple[str, list[Outcome]]]:
    makers: dict[str, tuple[int, Callable[[Brain, Span], Tensor]]] = {
        "combined, ky": (-2, combined), "combined, kx": (-1, combined)
    }  # fmt: skip
    for r in (1, 2, 3):
        makers[f"SENSE, ky, R={r}"] = -2, lambda brain, span, r=r: by_sense(brain, span, r)
    for r in (1, 2, 3):
        makers[f"{MODEL}, ky, R={r}"] = -2, lambda brain, span, r=r: by_network(brain, span, r)
    for name, (dim, make) in makers.items():
        found = []
        for brain, eighths, end in product(brains, EIGHTHS, ENDS):
            span = span_of(brain.reference.shape[dim], dim, eighths, end)
            found.append(outcome(make(brain, span), span, brain.reference))
        yield name, found


if __name__ == "__main__":
    main()
