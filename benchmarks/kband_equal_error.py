"""Training and inference time at equal error: our small network against the published architecture, both trained here.

    python benchmarks/kband_equal_error.py [--seconds 300] [--device cuda]

Both learn from the same simulated scans in the same order, one per step, and are judged on the same scans held out;
making and judging scans does not count as training. The small network's time is that at which it was first judged to be
no worse than the published one at the end of its time.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click
import torch
from measure import interleave, print_conditions, print_table
from published.modl import PublishedModl
from torch import nn
from tqdm import tqdm

from kband_core.metrics import nmse
from kband_core.reconstruct import zero_filled
from kband_core.training.batches import stack, to_device
from kband_core.training.example import Example
from kband_core.training.recipe import read_recipe
from kband_core.training.scans import generator
from kband_core.training.simulation.procedural import procedural_plane
from kband_core.training.supervision import Supervised
from kband_core.training.undersampling import Undersampling

ACS_LINES = 16
SUPERVISE = Supervised(undersampling=Undersampling(line_acceleration=4, acs_lines=ACS_LINES))
NOISE = (0.005, 0.03)
RATE = 1e-3
JUDGED = {"published, plain": 1, "small": 24}  # times; the last is at the end, each one before 2^(1/3) times earlier


@dataclass(frozen=True)
class Judgement:
    """Mean NMSE of the scans held out after so many steps and seconds of training."""

    step: int
    seconds: float
    nmse: float


@click.command(help=__doc__)
@click.option("--seconds", default=300.0, show_default=True, help="Training time of each, s.")
@click.option("--matrix", default=96, show_default=True, help="Lines and columns.")
@click.option("--coils", default=8, show_default=True)
@click.option("--scans", default=96, show_default=True, help="Simulated scans to train on, under new lines each time.")
@click.option("--tests", default=12, show_default=True, help="Scans held out.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--repeats", default=5, show_default=True, help="Of the inference.")
def main(seconds: float, matrix: int, coils: int, scans: int, tests: int, device: str, repeats: int) -> None:
    print_conditions(
        f"{matrix}², {coils} coils, R=4 random lines, {ACS_LINES} ACS lines, noise {NOISE[0]:g} to "
        f"{NOISE[1]:g}; {scans} simulated scans, {tests} held out\n"
        f"Adam {RATE:g}, per-coil ℓ1, batch 1, {seconds:g} s each, {device}; inference: medians of {repeats}, in turns"
    )
    planes = [
        procedural_plane(
            (matrix, matrix), n_coils=coils, rng=generator("equal error", n), objects="cartoon", noise=NOISE
        )
        for n in tqdm(range(scans + tests), unit="scan")
    ]
    held_out = [
        to_device(stack([SUPERVISE(plane, generator("held out", n))]), torch.device(device))
        for n, plane in enumerate(planes[scans:])
    ]
    torch.manual_seed(0)
    models = {"published, plain": PublishedModl(weight=0.05), "small": read_recipe("simulated_small").network.build()}
    found = {
        name: list(trained(model.to(device), examples(planes[:scans], device), held_out, seconds, JUDGED[name]))
        for name, model in models.items()
    }
    wanted = found["published, plain"][-1]
    inferring = interleave(
        {name: lambda model=model: infer(model, held_out[0]) for name, model in models.items()}, repeats
    )
    milliseconds = {name: 1e3 * statistics.median(times) for name, times in inferring.items()}
    rows = []
    for name, moment in moments(found, wanted):
        in_training, inference = wanted.seconds / moment.seconds, milliseconds["published, plain"] / milliseconds[name]
        rows.append((name, f"{moment.seconds:.1f}", str(moment.step), f"{moment.nmse:.5f}", f"{in_training:.1f}",
                     f"{milliseconds[name]:.0f}", f"{inference:.1f}"))  # fmt: skip
    print_table(("", "training s", "steps", "NMSE", "×", "inference ms", "×"), rows)


def examples(planes: Sequence, device: str) -> Iterator[Example]:
    for step in itertools.count():
        rng = generator("train", step)
        plane = planes[int(torch.randint(len(planes), (), generator=rng))]
        yield to_device(stack([SUPERVISE(plane, rng)]), torch.device(device))


def trained(
    model: nn.Module, scans: Iterator[Example], held_out: Sequence[Example], seconds: float, n_judged: int
) -> Iterator[Judgement]:
    """Train for so long; judge `n_judged` times."""
    optimiser, spent = torch.optim.Adam(model.parameters(), RATE), 0.0
    moments = [seconds * 2 ** ((n - n_judged) / 3) for n in range(1, n_judged + 1)]
    with tqdm(total=round(seconds), unit="s") as progress:
        for step, example in enumerate(scans, start=1):
            started = time.perf_counter()
            image = model(example.kspace, example.operator(), example.noise)
            loss = SUPERVISE.loss(image, example.target_operator(), example.target, example.weight)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            loss.item()
            spent += time.perf_counter() - started
            progress.update(min(int(spent), round(seconds)) - progress.n)
            if spent >= moments[0]:
                yield Judgement(step, spent, error(model, held_out))
                moments = [moment for moment in moments if moment > spent]
                if not moments:
                    return


@torch.no_grad()
def error(model: nn.Module, held_out: Sequence[Example]) -> float:
    errors = [nmse(infer(model, one)[:, 0].abs(), zero_filled(one.target, one.csm).abs()) for one in held_out]
    return float(torch.cat(errors).mean())


@torch.no_grad()
def infer(model: nn.Module, example: Example) -> torch.Tensor:
    image = model(example.kspace, example.operator(), example.noise)
    if image.is_cuda:
        torch.cuda.synchronize()
    return image


def moments(found: dict[str, list[Judgement]], wanted: Judgement) -> Iterator[tuple[str, Judgement]]:
    """The published network at the end; the small one as soon as it is as good, if it ever is, and at the end."""
    yield "published, plain", wanted
    level = next((moment for moment in found["small"] if moment.nmse <= wanted.nmse), None)
    if level is not None:
        yield "small", level
    yield "small", found["small"][-1]


if __name__ == "__main__":
    main()
