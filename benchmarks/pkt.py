"""Spokes that a transformer predicts (PKT): against gridding, interpolation, CG-SENSE and an unrolled network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click
import torch
from measure import data_option, print_conditions, print_table, scores
from radial_scans import Scanned, cut_phantoms, phantoms
from radial_supervisions import by_network, cg_sense, gridded, simulated
from torch import Tensor
from tqdm import tqdm

from kband_core.angular_interpolation import angles_between, interpolated, neighbours
from kband_core.coils import merge_sets
from kband_core.held_out_spokes import unexplained
from kband_core.models import load_card, load_model
from kband_core.networks.pkt import Pkt, directions, half_ramp, projected
from kband_core.operators import encoding_operator
from kband_core.projections import Spokes, to_projections
from kband_core.reconstruct import network_along, sense_sets
from kband_core.sampling import Trajectory
from kband_core.shots import Shots, even_weight, shots_noise, shots_scale
from kband_core.solvers import solve_normal

DRAWN = {"spoke_acceleration": [4, 12], "order": "mixed"}
SCANS = {"matrix": [80, 80], "coils": [8, 8], "trajectory": "radial"}
SETTINGS = [(weight, n) for weight in (0.001, 0.01, 0.1, 0.3) for n in (15, 30, 60)]
OF_WEIGHTED = [(weight, n) for weight in (0.01, 0.1) for n in (8, 12, 20)]
WEIGHTS = (0.003, 0.01, 0.03, 0.1)
NOTHING = 1e-6
GROUPS = ("simulated", "cut 0", "cut 1", "29 0", "29 1")
Reconstruct = Callable[[Scanned], Tensor]


class Interpolation(Pkt):
    """Predicts what linear interpolation between measured projections gives."""

    def predict(self, image: Tensor, measured: Spokes, wanted: Spokes, noise: Tensor) -> Tensor:
        return interpolated(projected(image, measured), neighbours(measured.angle, wanted.angle))


@click.command(context_settings={"show_default": True})
@data_option
@click.option("--tests", default=16, help="Simulated scans held out.")
@click.option("--seed", default=0, help="Of the scans and their spokes.")
@click.option("--model", default="simulated_pkt", help="The model that predicts spokes.")
def main(data: Path, tests: int, seed: int, model: str) -> None:
    """Print spoke and image errors on held-out simulated scans and on both slices of a phantom at 29 spokes."""
    card, pkt = load_card(model), load_model(model)
    print_conditions(
        f"{model}: {card.parameters:,} parameters, {card.steps} steps of 2, seed {card.seed}. {tests} simulated scans\n"
        "of 80², 8 coils, textured, noise 0.001 to 0.08, 11 to 32 of 126 spokes. Phantoms: 192², 12 virtual coils,\n"
        "slices 0 and 1, 29 of 69 spokes (cut; maps of 69) and a scan of 29 (29; own maps); reference 15 iterations\n"
        "of CG-SENSE on 69 spokes. NRMSE of magnitudes after one factor. z: ‖z − z*‖/‖z*‖ of unmeasured spokes of the\n"
        "image, by √|k|, to 48 cycles per field of view. Best: each column at the setting that is best in it."
    )
    groups = [simulated(tests, SCANS, DRAWN, seed=seed), *([scan] for scan in (*cut_phantoms(data), *phantoms(data)))]
    ways: dict[str, Sequence[Reconstruct]] = {
        "gridding, with maps": [lambda scan: gridded(scan.kspace, scan.trajectory, scan.csm)],
        "interpolation + CG, best weight": [_by(Interpolation(weight=weight)) for weight in WEIGHTS],
        "CG-SENSE as in radial.xml": [cg_sense(0.001, 15)],
        "CG-SENSE, best λ, iterations, weights": [
            *(cg_sense(*setting) for setting in SETTINGS), *(_weighted(*setting) for setting in OF_WEIGHTED)
        ],
        "CG as PKT has it, no spoke predicted": [_by(Interpolation(weight=NOTHING, cg_iterations=n)) for n in (8, 12)],
        "PKT + CG": [_by(pkt)],
        "simulated_radial": [by_network("simulated_radial")],
    }
    rows = [(name, *_cells(some, groups)) for name, some in tqdm(ways.items(), unit="row")]
    print_table(("", *GROUPS, *(f"{name} z" for name in GROUPS[:3])), rows)
    click.echo("Unmeasured spokes as they are predicted, before CG (z), and what is left unexplained of held-out")
    click.echo("measured spokes, by which PktRecon chooses:\n")
    judged = [torch.tensor([_judged(scan, pkt) for scan in group]) for group in groups]
    predicted = {
        name: [_mean(_predicted_error(scan, network) for scan in group) for group in groups[:3]]
        for name, network in (("interpolation", Interpolation()), ("PKT", pkt))
    }
    print_table(("", *GROUPS), [
        *((f"z, {name}", *each, "", "") for name, each in predicted.items()),
        ("unexplained, PKT", *(f"{each[:, 0].mean():.3f}" for each in judged)),
        ("unexplained, CG-SENSE as in radial.xml", *(f"{each[:, 1].mean():.3f}" for each in judged)),
        ("PKT chosen", *(f"{int((each[:, 0] <= each[:, 1]).sum())} of {len(each)}" for each in judged)),
    ])  # fmt: skip


def _cells(ways: Sequence[Reconstruct], groups: Sequence[Sequence[Scanned]]) -> list[str]:
    images = [[[way(scan) for scan in group] for group in groups] for way in ways]
    errors = [
        [_mean(scores(image, scan.reference.abs())[0] for image, scan in zip(some, group, strict=True))
         for some, group in zip(each, groups, strict=True)]
        + [_mean(_spoke_error(image, scan) for image, scan in zip(some, group, strict=True))
           for some, group in zip(each[:3], groups[:3], strict=True)]
        for each in images
    ]  # fmt: skip
    return [min(column) for column in zip(*errors, strict=True)]


def _mean(values: Sequence[float]) -> str:
    return f"{torch.tensor(list(values)).mean():.3f}"


def _weighted(weight: float, n_iterations: int) -> Reconstruct:
    """CG-SENSE with `even_weight`, as PKT has it."""

    def reconstruct(scan: Scanned) -> Tensor:
        shots = Shots(scan.trajectory.coords[None], even_weight(scan.trajectory.coords)[None])
        operator = encoding_operator(shots, scan.csm[None])
        regularisation = weight * float(shots.weight.square().sum()) / scan.csm.shape[-2:].numel()
        b = operator.adjoint(shots.weight[:, None] * scan.kspace)
        return merge_sets(solve_normal(operator, b, regularisation, n_iterations))[0]

    return reconstruct


def _by(network: Pkt) -> Reconstruct:
    return lambda scan: merge_sets(_sets(network, scan.kspace, scan.trajectory, scan.csm))


def _sets(network: Pkt, kspace: Tensor, sampling: Trajectory, csm: Tensor) -> Tensor:
    return network_along(kspace[None], Trajectory(sampling.coords[None], sampling.density[None]), csm[None], network)[0]


def _lines(scan: Scanned) -> Spokes:
    """Spokes between those measured."""
    shape = tuple(scan.csm.shape[-2:])
    measured = Spokes.of(scan.trajectory.coords, shape)
    return measured.along(angles_between(measured.angle, directions(shape)))


def _spoke_error(image: Tensor, scan: Scanned) -> float:
    wanted = _lines(scan)
    truth = projected(scan.reference, wanted)
    return float((projected(image, wanted) - truth).norm() / truth.norm())


@torch.no_grad()
def _predicted_error(scan: Scanned, network: Pkt) -> float:
    """Of spokes as the network predicts them."""
    coords, csm = scan.trajectory.coords[None], scan.csm[None]
    scale = shots_scale(scan.kspace[None], coords, scan.trajectory.density[None], csm)
    noise = shots_noise(scan.kspace[None], coords, tuple(csm.shape[-2:])) / scale
    shots = Shots(coords, even_weight(coords))
    weighted = shots.weight[:, None] * scan.kspace / scale
    ((wanted, samples),), _ = network.predictions(weighted, encoding_operator(shots, csm), noise)
    found = to_projections(samples[0] * scale * half_ramp(wanted), wanted)
    truth = projected(scan.reference, wanted)
    return float((found - truth).norm() / truth.norm())


def _judged(scan: Scanned, network: Pkt) -> list[float]:
    def ours(kspace: Tensor, sampling: Trajectory, csm: Tensor) -> Tensor:
        return _sets(network, kspace, sampling, csm)

    def theirs(kspace: Tensor, sampling: Trajectory, csm: Tensor) -> Tensor:
        weight = 0.001 * sampling.shape.numel() / csm.shape[-2:].numel()
        return sense_sets(kspace, sampling, csm, regularisation=weight, n_iterations=15)

    return unexplained([ours, theirs], scan.kspace, scan.trajectory, scan.csm)


if __name__ == "__main__":
    main()
