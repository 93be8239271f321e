"""K-band along spokes: sectors against other ways to train the same network, on held-out simulated and real scans."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import torch
from measure import data_option, print_conditions, print_table, scores
from peers import bart_along, require_bart
from radial_scans import MATRIX, Scanned, phantoms
from torch import Tensor
from tqdm import tqdm

from kband_core.coils import combine, merge_sets
from kband_core.fourier import to_kspace
from kband_core.models import load_model
from kband_core.nufft import adjoint_nufft
from kband_core.reconstruct import network_along, sense
from kband_core.sampling import Trajectory
from kband_core.training.recipe import ProceduralRecipe, parse_recipe
from kband_core.training.scans import ProceduralScans, generator
from kband_core.training.supervision import build_supervision
from kband_core.training.trainer import train

NETWORK = {"name": "modl", "unrolls": 4, "denoiser": "multiscale", "channels": 24, "wide": 32, "blocks": 1,
           "shared": False, "start": "sense", "cg_iterations": 4}  # fmt: skip
DRAWN = {"spoke_acceleration": [4, 12], "order": "mixed"}
SCANS = {"matrix": [80, 80], "coils": [8, 8], "trajectory": "radial"}


@dataclass(frozen=True)
class Way:
    """One way to train: supervision and its options."""

    name: str
    supervision: str
    options: Mapping[str, Any] = field(default_factory=dict)


WAYS = (
    Way("supervised by all spokes", "spokes"),
    Way("k-band, sectors of 45°", "sectors"),
    Way("k-band, 45°, input not limited", "sectors", {"decoupled": True}),
    Way("SSDU over spokes", "spokes_ssdu"),
    Way("rings (central disc)", "rings"),
)


@click.command(context_settings={"show_default": True})
@data_option
@click.option("--steps", default=600, help="Training steps of each.")
@click.option("--batch", default=2, help="Examples of a step.")
@click.option("--scans", default=160, help="Scans to train on; one sector each, drawn once.")
@click.option("--tests", default=16, help="Simulated scans held out.")
@click.option("--seed", default=0, help="Of scans, spokes, sectors and weights.")
@click.option("--model", "models", multiple=True, default=["simulated_radial"], help="Trained models to set beside.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Folder of what is trained: an "
              "interrupted run goes on from there.")
def main(
    data: Path, steps: int, batch: int, scans: int, tests: int, seed: int, models: Sequence[str], keep: Path | None
) -> None:
    """Print errors on held-out simulated scans, and on two radial phantoms at 29 spokes against their 69 spokes."""
    require_bart()
    print_conditions(
        f"{steps} steps of {batch}, seed {seed}, Adam 1e-3 (one cycle), ℓ1; {scans} simulated scans of 80², 8 coils,\n"
        f"textured, noise 0.001 to 0.08; {tests} held out, both at 11 to 32 of 126 spokes. Phantoms: 192², 12 virtual\n"
        "coils, 29 spokes, reference 15 iterations of CG-SENSE on 69 spokes. NRMSE and SSIM of magnitudes after one\n"
        "factor; r>0.5: error of k-space beyond half its radius. Peers at their best λ (and iterations), each column."
    )
    with tempfile.TemporaryDirectory() if keep is None else nullcontext(keep) as folder:
        held_out = simulated(tests, SCANS, DRAWN, seed=seed)
        real = phantoms(data)
        rows = []
        for number, way in enumerate(tqdm(WAYS, unit="training")):
            os.environ["KBAND_MODELS"] = str(folder)
            name, drawn_once = f"way_{number}", {**SCANS, "n_scans": scans}
            seconds = trained(way, name, Path(folder), drawn_once, DRAWN, steps=steps, batch=batch, seed=seed)
            rows.append((way.name, *cells(by_network(name), held_out, real), f"{seconds:.0f}"))
        rows += [(name, *cells(by_network(name), held_out, real), "") for name in models]
        rows += [(name, *best(peer, held_out, real), "") for name, peer in PEERS.items()]
        print_table(("", "NRMSE", "SSIM", "r>0.5", "slice 0", "SSIM", "slice 1", "SSIM", "s"), rows)


def simulated(n: int, scans: Mapping[str, Any], drawn: Mapping[str, Any], *, seed: int) -> list[Scanned]:
    """Scans of which some shots are measured, as `drawn`, and the image of all."""
    planes = ProceduralScans(ProceduralRecipe(**scans), n, seed=f"{seed} tests", run=1)
    supervise, found = build_supervision("spokes", **drawn), []
    for number in range(n):
        example = supervise(planes[number], generator(seed, "tests", number), 0.0)
        measured = example.sampling.weight.any(-1)
        trajectory = planes[number].trajectory
        every = Trajectory(trajectory.coords, trajectory.density)
        reference = gridded(planes[number].kspace, every, planes[number].csm)
        found.append(Scanned(planes[number].kspace[:, measured], every[measured], planes[number].csm, reference))
    return found


def trained(
    way: Way, name: str, folder: Path, scans: Mapping[str, Any], drawn: Mapping[str, Any],
    *, steps: int, batch: int, seed: int,
) -> float:  # fmt: skip
    """Train, or go on with what was begun; return seconds.

    The last weights are judged: the best would need full images, which sectors lack.
    """
    recipe = {
        "name": name, "network": NETWORK, "supervision": {"name": way.supervision, **drawn, **way.options},
        "data": {"procedural": dict(scans)}, "seed": seed,
        "optimiser": {"learning_rate": 1e-3, "steps": steps, "batch": batch, "ema": 0.99},
        "validation": {"every": steps, "planes": 2}, "limits": {"matrix": [64, MATRIX]},
    }  # fmt: skip
    is_begun = (folder / f"{name}.checkpoint").exists()
    outcome = train(parse_recipe(recipe, name), folder, resume=is_begun, checkpoint_minutes=2)
    if outcome.step < outcome.n_steps:
        raise click.ClickException(f"interrupted at step {outcome.step} of {outcome.n_steps}; --keep lets it go on")
    return outcome.seconds


Reconstruct = Callable[[Scanned], Tensor]


def by_network(name: str) -> Reconstruct:
    def reconstruct(scan: Scanned) -> Tensor:
        model = load_model(name)
        batch = Trajectory(scan.trajectory.coords[None], scan.trajectory.density[None])
        return merge_sets(network_along(scan.kspace[None], batch, scan.csm[None], model))[0]

    return reconstruct


def gridded(kspace: Tensor, trajectory: Trajectory, csm: Tensor) -> Tensor:
    shape = tuple(csm.shape[-2:])
    coil_image = adjoint_nufft(kspace * trajectory.density, trajectory.coords, shape)
    return merge_sets(combine(coil_image, csm)) * shape[0] * shape[1]


def cg_sense(weight: float, n_iterations: int) -> Reconstruct:
    def reconstruct(scan: Scanned) -> Tensor:
        weighted = weight * scan.trajectory.shape.numel() / scan.csm.shape[-2:].numel()
        return sense(scan.kspace, scan.trajectory, scan.csm, regularisation=weighted, n_iterations=n_iterations)

    return reconstruct


def _pics(regulariser: str, weight: float) -> Reconstruct:
    def reconstruct(scan: Scanned) -> Tensor:
        shape = torch.tensor(scan.csm.shape[-2:])
        command = ["pics", "-S", "-e", "-R", f"{regulariser}:{weight}", "-i", "60", "-t"]  # -e: step by eigenvalue
        return bart_along(command, (scan.trajectory.coords * shape).flip(-1), scan.kspace, scan.csm)[:, 0].norm(dim=0)

    return reconstruct


PEERS: dict[str, Sequence[Reconstruct]] = {
    "gridding, with maps": (lambda scan: gridded(scan.kspace, scan.trajectory, scan.csm),),
    "CG-SENSE, best λ and iterations": [
        cg_sense(weight, n) for weight in (0.001, 0.01, 0.1, 0.3) for n in (15, 30, 60)
    ],
    "BART total variation, best λ": [_pics("T:3:0", weight) for weight in (0.0003, 0.001, 0.003, 0.01, 0.03)],
    "BART wavelets, best λ": [_pics("W:3:0", weight) for weight in (0.0003, 0.001, 0.003, 0.01, 0.03)],
}


def figures(reconstruct: Reconstruct, scans: Sequence[Scanned], *, outer: bool) -> Tensor:
    """Mean NRMSE, SSIM and, if asked for, the error of k-space beyond half its radius."""
    found = []
    for scan in scans:
        image, reference = reconstruct(scan), scan.reference
        figures = [*scores(image, reference.abs())]
        if outer:
            figures.append(_outer_error(image, reference))
        found.append(torch.tensor(figures))
    return torch.stack(found).mean(0)


def _outer_error(image: Tensor, reference: Tensor) -> float:
    """‖F(x̂ − x)‖/‖F x‖ of magnitudes between half the radius of k-space and all of it."""
    ours, theirs = (to_kspace(each.abs().to(torch.complex64)) for each in (image, reference))
    ours = ours * (image.abs() * reference.abs()).sum() / image.abs().square().sum()
    y, x = ((torch.arange(n) - n // 2) / n for n in image.shape)
    radius = torch.hypot(y[:, None], x)
    ring = (radius > 0.25) & (radius <= 0.5)
    return float((ours - theirs)[ring].norm() / theirs[ring].norm())


def cells(reconstruct: Reconstruct, held_out: Sequence[Scanned], real: Sequence[Scanned]) -> list[str]:
    """The figures of a row."""
    simulated = figures(reconstruct, held_out, outer=True)
    each = [figures(reconstruct, [scan], outer=False) for scan in real]
    return [f"{value:.3f}" for value in torch.cat([simulated, *each]).tolist()]


def best(peers: Sequence[Reconstruct], held_out: Sequence[Scanned], real: Sequence[Scanned]) -> list[str]:
    """Each column at the setting that is best in it, lowest error or highest SSIM."""
    columns = list(zip(*(map(float, cells(peer, held_out, real)) for peer in peers), strict=True))
    is_ssim = (False, True, False, False, True, False, True)
    return [f"{(max if up else min)(column):.3f}" for column, up in zip(columns, is_ssim, strict=True)]


if __name__ == "__main__":
    main()
