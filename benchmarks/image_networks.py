"""KIKI-net beside U-Net, with and without data consistency, and MoDL: same size, same training, same scans."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from measure import print_conditions, print_table
from torch import Tensor
from tqdm import tqdm

from kband_core.metrics import nmse, ssim
from kband_core.models import load_card, load_model
from kband_core.operators import EncodingOperator
from kband_core.reconstruct import zero_filled
from kband_core.solvers import solve_normal
from kband_core.training.batches import stack
from kband_core.training.example import Example
from kband_core.training.recipe import Recipe, SupervisionRecipe, parse_recipe
from kband_core.training.scans import generator
from kband_core.training.simulation.procedural import procedural_plane
from kband_core.training.trainer import train

NOISE = (0.005, 0.05)
DRAWN = {"sampling": "mixed", "line_acceleration": [2, 5], "acs_lines": [12, 16]}
SENSE_WEIGHTS, ITERATIONS = (0.003, 0.01, 0.03, 0.1, 0.3), 15
CHAIN = {"name": "kiki", "layers": 5, "channels": 24}
UNET = {"name": "unet", "channels": 12, "scales": 2}
STAGES = ("k", "ki", "kik", "kiki")


@dataclass(frozen=True)
class Way:
    """A network, and the stages it is trained in, each for its share of the steps; the last one is judged."""

    name: str
    network: Mapping[str, Any]
    stages: Sequence[Mapping[str, Any]] = ({},)
    shares: Sequence[float] = (1.0,)


WAYS = (
    Way("U-Net", UNET),
    Way("U-Net, one step of data consistency", {**UNET, "consistent": True}),
    Way("IIII", {**CHAIN, "order": "iiii"}),
    Way("KKKK", {**CHAIN, "order": "kkkk"}),
    Way("KIKI, end to end", CHAIN),
    Way("KIKI, stage by stage", CHAIN, [{"order": order, "trained": "last"} for order in STAGES], [0.25] * 4),
    Way("KIKI, in stages, then end to end", CHAIN,
        [*({"order": order, "trained": "last"} for order in STAGES), {}], [0.125] * 4 + [0.5]),
    Way("MoDL", {"name": "modl", "unrolls": 4, "denoiser": "resnet", "blocks": 3, "channels": 20, "kernel": 3,
                 "shared": False, "cg_iterations": 6}),
)  # fmt: skip


@click.command(context_settings={"show_default": True})
@click.option("--steps", default=1200, help="Training steps of each, of all stages together.")
@click.option("--batch", default=2, help="Examples of a step.")
@click.option("--scans", default=400, help="Scans to train on, with other lines each time.")
@click.option("--tests", default=64, help="Simulated scans held out.")
@click.option("--matrix", default=64, help="Samples along ky and kx.")
@click.option("--coils", default=4, help="Receive coils.")
@click.option("--seed", default=0, help="Of scans, lines and weights.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Folder of what is trained: an "
              "interrupted run goes on from there.")
def main(
    steps: int, batch: int, scans: int, tests: int, matrix: int, coils: int, seed: int, keep: Path | None
) -> None:
    """Print mean PSNR in dB, and gains with the interval of 95 % that a paired bootstrap over scans gives."""
    print_conditions(
        f"{steps} steps of {batch}, Adam 1e-3 (one cycle), ln of the relative error; {scans} simulated scans of "
        f"{matrix}²,\n{coils} coils, textured, noise {NOISE[0]:g} to {NOISE[1]:g}; lines at random or equispaced, R=2 "
        f"to 5, 12 to 16 ACS lines;\n{tests} scans held out; seed {seed}. dB: of NMSE, mean over scans. SENSE at its "
        "best λ for each scan."
    )
    with tempfile.TemporaryDirectory() if keep is None else nullcontext(keep) as folder:
        os.environ["KBAND_MODELS"] = str(folder)
        held_out = _held_out(tests, (matrix, matrix), coils, seed)
        data = {"matrix": [matrix, matrix], "coils": [coils, coils], "n_scans": scans}
        found = {"zero-filled": _figures(_zero_filled, held_out), "SENSE": _best_sense(held_out)}
        told = dict.fromkeys(found, ("", ""))
        for number, way in enumerate(tqdm(WAYS, unit="training")):
            name, seconds = _trained(way, f"way_{number}", Path(folder), data, steps=steps, batch=batch, seed=seed)
            found[way.name] = _figures(load_model(name), held_out)
            told[way.name] = f"{load_card(name).parameters / 1000:.0f} k", f"{seconds:.0f}"
    rows = []
    for name, (db, similar) in found.items():
        gains = [_gain(db, found[other][0], seed) for other in ("U-Net", "U-Net, one step of data consistency")]
        rows.append((name, told[name][0], f"{db.mean():.2f}", f"{similar.mean():.3f}", *gains, told[name][1]))
    print_table(("", "weights", "dB", "SSIM", "over U-Net", "over U-Net with data", "s"), rows)


def _held_out(tests: int, shape: tuple[int, int], coils: int, seed: int) -> list[Example]:
    sample, scans = SupervisionRecipe(name="supervised", **DRAWN).build(), []
    for scan in range(tests):
        rng = generator(seed, "test", scan)
        scans.append(stack([sample(procedural_plane(shape, n_coils=coils, rng=rng, noise=NOISE), rng)]))
    return scans


def _trained(
    way: Way, name: str, folder: Path, data: Mapping[str, Any], *, steps: int, batch: int, seed: int
) -> tuple[str, float]:
    """Train in all stages; return the name of the last model, and the seconds of all."""
    seconds, before = 0.0, None
    for number, (stage, share) in enumerate(zip(way.stages, way.shares, strict=True)):
        recipe = _recipe(
            {**way.network, **stage}, f"{name}_{number}", data,
            steps=round(share * steps), batch=batch, seed=seed + number, pretrained=before,
        )  # fmt: skip
        began = (folder / f"{recipe.name}.checkpoint").exists()
        seconds += train(recipe, folder, resume=began, n_workers=0).seconds
        before = recipe.name
    return before, seconds


def _recipe(
    network: Mapping[str, Any], name: str, data: Mapping[str, Any], *, steps: int, batch: int, seed: int,
    pretrained: str | None,
) -> Recipe:  # fmt: skip
    """The last weights are judged, as everywhere among these."""
    content = {
        "name": name,
        "pretrained": pretrained,
        "network": dict(network),
        "supervision": {"name": "supervised", "norm": "relative", **DRAWN},
        "data": {"procedural": dict(data), "held_out": 0.05},
        "optimiser": {"steps": steps, "batch": batch, "learning_rate": 1e-3, "clip": 1.0, "ema": 0.98},
        "validation": {"every": steps, "planes": 2},
        "seed": seed,
    }
    return parse_recipe(content, name)


@torch.no_grad()
def _figures(model: Callable[..., Tensor], scans: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Minus NMSE in dB, and SSIM, of every scan."""
    errors, similar = [], []
    for one in scans:
        reference = zero_filled(one.target, one.csm).abs()
        image = model(one.kspace, one.operator(), one.noise)[:, 0].abs()
        errors.append(nmse(image, reference)[0])
        similar.append(ssim(image, reference)[0])
    return -10 * torch.stack(errors).log10(), torch.stack(similar)


def _zero_filled(kspace: Tensor, operator: EncodingOperator, noise: Tensor) -> Tensor:
    return operator.adjoint(kspace)


def _sense(weight: float) -> Callable[..., Tensor]:
    def reconstruct(kspace: Tensor, operator: EncodingOperator, noise: Tensor) -> Tensor:
        told = torch.full((len(kspace), 1, 1, 1), weight)
        return solve_normal(operator, operator.adjoint(kspace), told, ITERATIONS)

    return reconstruct


def _best_sense(scans: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """At the λ that is best for each very scan, which no scanner knows."""
    of_weights = [_figures(_sense(weight), scans) for weight in SENSE_WEIGHTS]
    errors, similar = (torch.stack(figures).amax(0) for figures in zip(*of_weights, strict=True))
    return errors, similar


def _gain(db: Tensor, other: Tensor, seed: int) -> str:
    gains = db - other
    if not gains.any():
        return ""
    rng = torch.Generator().manual_seed(seed)
    means = gains[torch.randint(len(gains), (2000, len(gains)), generator=rng)].mean(1)
    low, high = means.quantile(torch.tensor([0.025, 0.975])).tolist()
    return f"{gains.mean():+.2f} ({low:+.2f} to {high:+.2f})"


if __name__ == "__main__":
    main()
