"""What a network gains by being told more, and by meeting other lines and worse coil maps: ablations of one size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from measure import data_option, print_conditions, print_table
from told_inputs import InSnrUnits, NoiseUntold, Told, acceleration, overlap, unknown
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
RATE, DECAY, CLIP = 1.5e-3, 0.99, 1.0


def everything(operator: Any) -> Tensor:
    return torch.cat([acceleration(operator), overlap(operator), unknown(operator)], 1)


@dataclass(frozen=True)
class Way:
    """A network, the scans that it is trained on, and the seed of its weights and of the order of the scans."""

    name: str
    make: Callable[[], nn.Module] = lambda: Modl(**SIZE)
    data: str = "any"
    seed: int = 0


BASES = (Way("base"), Way("base, another seed", seed=1))
WAYS = (
    *BASES,
    Way("+ unknown, of a probe by CG", lambda: Told(unknown, 1, **SIZE)),
    Way("coil maps that err, wraps", data="faulty"),
    Way("+ acceleration, calibration", lambda: Told(acceleration, 2, **SIZE)),
    Way("+ overlap, diag (AᴴA)²", lambda: Told(overlap, 1, **SIZE)),
    Way("images in SNR units", lambda: InSnrUnits(**SIZE)),
    Way("lines alone, no 2-D samples", data="lines"),
    Way("noise level not told", lambda: NoiseUntold(**SIZE)),
    Way("coil maps that err + all maps", lambda: Told(everything, 4, **SIZE), data="faulty"),
)


@click.command(context_settings={"show_default": True})
@data_option
@click.option("--steps", default=800, help="Training steps of each.")
@click.option("--batches", default=300, help="Batches of two scans, met again with the same lines.")
@click.option("--tests", default=24, help="Simulated scans of each kind.")
@click.option("--only", multiple=True, help="Part of a row's name: train these alone, besides what is kept.")
@click.option("--keep", default="told", type=click.Path(file_okay=False, path_type=Path), help="Folder of scans and "
              "weights: what is there is not made again.")  # fmt: skip
def main(data: Path, steps: int, batches: int, tests: int, only: Sequence[str], keep: Path) -> None:
    """Print the gain over both bases' mean in dB of NMSE, by kind of scan."""
    keep.mkdir(exist_ok=True)
    ways = [way for way in WAYS if not only or any(part in way.name for part in only)]
    trained = {}
    for way in ways:
        path = keep / f"{way.name.replace('/', ' ')}.pt"
        trained[way.name] = _kept(path, lambda way=way: _train(way, keep, steps, batches))
    judged = _kept(keep / "judged.pt", lambda: {kind.name: list(judged_scans(kind, tests)) for kind in KINDS})
    real = _kept(keep / "real.pt", lambda: {name: [one] for name, one in real_scans(data)})
    print_conditions(
        f"{steps} steps of {BATCH}, Adam {RATE:g} (one cycle), {batches * BATCH} simulated scans of {MATRIX[0]}², 4 to "
        f"10 coils; MoDL of 3\nunrolls, multiscale, 24 and 32 channels. dB of NMSE of magnitudes where there are maps; "
        f"{tests} scans of each kind of 80²,\n8 coils, 14 calibration lines; real: first slices, 24 calibration lines. "
        "Gains over the mean of both bases."
    )
    for scans in (judged, real):
        _table(scans, trained, {way.name: way for way in ways})


def _table(scans: Mapping[str, list[Example]], trained: Mapping[str, Any], ways: Mapping[str, Way]) -> None:
    names = list(scans)
    found = {"SENSE": [_best_sense(scans[name]) for name in names]}
    for name, way in ways.items():
        model = way.make()
        model.load_state_dict(trained[name]["weights"])
        found[name] = [statistics.mean(_figures(model, scans[kind])) for kind in names]
    base = [statistics.mean(pair) for pair in zip(*(found[way.name] for way in BASES), strict=True)]
    rows = [("mean of both bases, dB", *(f"{db:.2f}" for db in base), f"{statistics.mean(base):.2f}", "")]
    for name, db in found.items():
        gains = [ours - theirs for ours, theirs in zip(db, base, strict=True)]
        cost = f"{trained[name]['seconds']:.0f}" if name in trained else ""
        rows.append((name, *(f"{gain:+.2f}" for gain in gains), f"{statistics.mean(gains):+.2f}", cost))
    print_table(("", *names, "mean", "s"), rows)


def _train(way: Way, keep: Path, steps: int, n_batches: int) -> dict[str, Any]:
    batches = _kept(keep / f"{way.data}.pt", lambda: training_batches(way.data, n_batches))
    supervise = Supervised(norm="relative")
    torch.manual_seed(way.seed)
    model = way.make()
    average, optimiser = MovingAverage(model, DECAY), torch.optim.Adam(model.parameters(), lr=RATE)
    order = torch.Generator().manual_seed(way.seed)
    began = time.process_time()
    for step in range(steps):
        if step % len(batches) == 0:
            shuffled = torch.randperm(len(batches), generator=order).tolist()
        optimiser.param_groups[0]["lr"] = RATE * one_cycle(step, steps)
        optimiser.zero_grad(set_to_none=True)
        loss = supervise.loss_of(model, batches[shuffled[step % len(batches)]])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        average.update(model)
        if step % 100 == 99:
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
