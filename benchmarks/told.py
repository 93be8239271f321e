"""What a network gains by being told more, and by meeting other lines and worse coil maps: each from one start."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from measure import data_option, print_conditions, print_table
from told_inputs import Told, acceleration, overlap, unknown
from told_scans import BATCH, KINDS, MATRIX, judged_scans, real_scans, training_batches
from torch import Tensor, nn

from kband_core.coils import merge_sets
from kband_core.metrics import nmse
from kband_core.networks import Modl
from kband_core.solvers import solve_normal
from kband_core.training.ema import MovingAverage
from kband_core.training.example import Example
from kband_core.training.schedule import one_cycle
from kband_core.training.supervision.supervised import Supervised

SIZE = {"unrolls": 3, "denoiser": "multiscale", "channels": 24, "wide": 32, "blocks": 2, "shared": False,
        "remembers": True, "start": "sense", "cg_iterations": 4}  # fmt: skip
SENSE_WEIGHTS, SENSE_STEPS = (0.003, 0.01, 0.03, 0.1, 0.3), 12
CLIP = 1.0


@dataclass(frozen=True)
class Course:
    """The highest learning rate of one cycle, and the decay of the moving average of the weights."""

    rate: float
    decay: float


FIRST, FURTHER = Course(1.5e-3, 0.99), Course(1e-3, 0.97)


@dataclass(frozen=True)
class Way:
    """A network, the scans that it goes on with, and the seed of their order."""

    name: str
    make: Callable[[], nn.Module] = lambda: Modl(**SIZE)
    data: str = "any"
    seed: int = 1


BASES = (Way("base"), Way("base, another order", seed=2))
WAYS = (
    *BASES,
    Way("+ acceleration, calibration", lambda: Told(acceleration, 2, **SIZE)),
    Way("+ overlap, diag (AᴴA)²", lambda: Told(overlap, 1, **SIZE)),
    Way("+ unknown, of a probe by CG", lambda: Told(unknown, 1, **SIZE)),
    Way("lines alone, no 2-D samples", data="lines"),
    Way("coil maps that err, wraps", data="faulty"),
)


@click.command(context_settings={"show_default": True})
@data_option
@click.option("--first", default=800, help="Steps of the base, from nothing.")
@click.option("--steps", default=120, help="Steps that each way goes on with from there.")
@click.option("--batches", default=300, help="Batches of two scans.")
@click.option("--tests", default=4, help="Simulated scans of each kind.")
@click.option("--keep", default="told", type=click.Path(file_okay=False, path_type=Path), help="Folder of scans and "
              "weights: what is there is not made again.")  # fmt: skip
def main(data: Path, first: int, steps: int, batches: int, tests: int, keep: Path) -> None:
    """Print the gain over both bases' mean in dB of NMSE, by kind of scan."""
    keep.mkdir(exist_ok=True)
    scans = _kept(keep / "scans.pt", lambda: training_batches(batches))
    begun = _kept(keep / "begun.pt", lambda: _train(Way("begun", seed=0), scans, first, FIRST))
    trained = {
        way.name: _kept(keep / f"{way.name}.pt", lambda way=way: _train(way, scans, steps, FURTHER, begun["weights"]))
        for way in WAYS
    }
    judged = _kept(keep / "judged.pt", lambda: {kind.name: list(judged_scans(kind, tests)) for kind in KINDS})
    real = _kept(keep / "real.pt", lambda: {name: [one] for name, one in real_scans(data)})
    print_conditions(
        f"{first} steps of {BATCH} from nothing, then {steps} of each way from the same weights; Adam, one cycle to\n"
        f"{FIRST.rate:g} and {FURTHER.rate:g}; {batches * BATCH} simulated scans of {MATRIX[0]}², 4 to 10 coils.\n"
        "MoDL of 3 unrolls, multiscale, 24 and 32 channels. dB of NMSE of magnitudes where there are maps,\n"
        f"gains over the mean of both bases. {tests} scans of each kind of 80², 8 coils, 14 calibration lines;\n"
        "real: first slices, 24 calibration lines, seed 0."
    )
    for scans in (judged, real):
        _table(scans, trained)


def _table(scans: Mapping[str, list[Example]], trained: Mapping[str, Any]) -> None:
    names = list(scans)
    found = {"SENSE at its best λ": [_best_sense(scans[name]) for name in names]}
    for way in WAYS:
        model = way.make()
        model.load_state_dict(trained[way.name]["weights"])
        found[way.name] = [statistics.mean(_figures(model, scans[kind])) for kind in names]
    base = [statistics.mean(pair) for pair in zip(*(found[way.name] for way in BASES), strict=True)]
    rows = [("both bases, dB", *(f"{db:.2f}" for db in base), f"{statistics.mean(base):.2f}", "")]
    for name, db in found.items():
        gains = [ours - theirs for ours, theirs in zip(db, base, strict=True)]
        cost = f"{trained[name]['seconds']:.0f}" if name in trained else ""
        rows.append((name, *(f"{gain:+.2f}" for gain in gains), f"{statistics.mean(gains):+.2f}", cost))
    print_table(("", *names, "mean", "s"), rows)


def _train(
    way: Way, scans: Mapping[str, list[Example]], steps: int, course: Course,
    weights: Mapping[str, Tensor] | None = None,
) -> dict[str, Any]:  # fmt: skip
    batches, supervise = scans[way.data], Supervised(norm="relative")
    torch.manual_seed(way.seed)
    model = way.make()
    if weights is not None:
        model.load_state_dict(weights, strict=False)  # of what is told there are none
    average, optimiser = MovingAverage(model, course.decay), torch.optim.Adam(model.parameters(), lr=course.rate)
    order = torch.Generator().manual_seed(way.seed)
    began = time.process_time()
    for step in range(steps):
        if step % len(batches) == 0:
            shuffled = torch.randperm(len(batches), generator=order).tolist()
        optimiser.param_groups[0]["lr"] = course.rate * one_cycle(step, steps)
        optimiser.zero_grad(set_to_none=True)
        loss = supervise.loss_of(model, batches[shuffled[step % len(batches)]])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        average.update(model)
        if step % 50 == 49:
            click.echo(f"{way.name}: step {step + 1}, loss {float(loss.detach()):.3f}", err=True)
    return {"weights": average.network.state_dict(), "seconds": time.process_time() - began}


@torch.no_grad()
def _figures(model: Callable[..., Tensor], scans: Iterable[Example]) -> list[float]:
    """Minus NMSE in dB of every scan."""
    return [_db(model(one.kspace, one.operator(), one.noise), one) for one in scans]


def _db(image: Tensor, one: Example) -> float:
    reference = merge_sets(one.target_operator().adjoint(one.target)).abs()
    mapped = (one.csm != 0).any(-3).any(-3)
    return float(-10 * nmse(merge_sets(image).abs()[0] * mapped[0], reference[0]).log10())


@torch.no_grad()
def _best_sense(scans: Iterable[Example]) -> float:
    """At the λ that is best for each very scan, which no scanner knows."""
    best = []
    for one in scans:
        operator = one.operator()
        adjoint = operator.adjoint(one.kspace)
        best.append(max(_db(solve_normal(operator, adjoint, weight, SENSE_STEPS), one) for weight in SENSE_WEIGHTS))
    return statistics.mean(best)


def _kept(path: Path, make: Callable[[], Any]) -> Any:
    if not path.exists():
        torch.save(make(), path)
    return torch.load(path, weights_only=False)


if __name__ == "__main__":
    main()
