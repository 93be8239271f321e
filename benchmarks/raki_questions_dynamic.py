"""Which weights of RAKI may be carried through a dynamic series whose coils drift."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from matplotlib.figure import Figure
from measure import print_conditions, print_table
from raki_questions_picture import save
from torch import Tensor

from kband_core.coils import root_sum_of_squares
from kband_core.fourier import to_image
from kband_core.grappa import GrappaKernel, apply_grappa, calibrate_grappa
from kband_core.metrics import nmse
from kband_core.patterns import equispaced_lines
from kband_core.phantom import Ellipse, Phantom, coil_kspace, complex_noise, head_phantom, loop_coils
from kband_core.raki.closed_form import fit_raki_rf
from kband_core.raki.fit import fit_raki, refit_raki
from kband_core.raki.network import RakiNetwork, apply_raki
from kband_core.sampling import Grid

SIZE, N_COILS, ACCELERATION, ACS_LINES = (96, 96), 8, 4, 24
NOISE = 0.01  # SD of each component in an image whose brightest tissue is 1
LAMBDA = 1e-2
CASES = {  # radians by the last frame: of all coils together, of each coil on its own (RMS)
    "no drift": (0.0, 0.0), "common 1.5 rad": (1.5, 0.0), "coils 0.2 rad": (0.0, 0.2), "coils 0.6 rad": (0.0, 0.6),
}  # fmt: skip
Weights = RakiNetwork | GrappaKernel


@dataclass(frozen=True)
class Frame:
    clean: Tensor
    kspace: Tensor
    sampling: Grid

    @property
    def acs(self) -> Tensor:
        first = SIZE[0] // 2 - ACS_LINES // 2
        return self.kspace[:, first : first + ACS_LINES + 1].contiguous()  # the last is a line of the grid

    def noise_error(self) -> float:
        """NMSE of the fully sampled frame, which has no error but noise."""
        image, reference = (root_sum_of_squares(to_image(kspace)) for kspace in (self.kspace, self.clean))
        return float(nmse(image, reference))

    def error(self, weights: Weights) -> tuple[float, Tensor]:
        """NMSE to the noiseless frame, and the error image; measured lines, those of the ACS too, are kept."""
        sampled = self.kspace * self.sampling.mask
        fill = apply_grappa if isinstance(weights, GrappaKernel) else apply_raki
        image = root_sum_of_squares(to_image(fill(weights, sampled, self.sampling)))
        reference = root_sum_of_squares(to_image(self.clean))
        return float(nmse(image, reference)), image - reference


def series(n_frames: int, common: float, individual: float, noise: float) -> list[Frame]:
    """A bolus passes: an ellipse brightens by 1 and moves by a tenth of the head; the coils' phases drift evenly.

    By the last frame all coils have turned by `common` radians, as the field drifts, and each one by `individual` (RMS
    over coils, mean 0).
    """
    rng = torch.Generator().manual_seed(3)
    direction = torch.randn(N_COILS, generator=rng)
    direction = direction - direction.mean()
    turn = common + individual * direction / direction.square().mean().sqrt()
    coils = loop_coils(N_COILS, object_phase=1.0)
    sampling = equispaced_lines(SIZE[0], ACCELERATION, acs_lines=ACS_LINES)
    frames = []
    for number in range(n_frames):
        elapsed = number / (n_frames - 1)
        bolus = Ellipse(elapsed, 0.08, 0.06, y=-0.15 + 0.1 * math.sin(2 * math.pi * elapsed), x=-0.12 + 0.1 * elapsed)
        clean = coil_kspace(Phantom((*head_phantom().ellipses, bolus)), coils, SIZE, oversampling=1)
        clean = torch.polar(torch.ones(N_COILS), elapsed * turn)[:, None, None] * clean
        frames.append(Frame(clean, clean + noise * complex_noise(torch.eye(N_COILS), SIZE, rng), sampling))
    return frames


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def raki(frame: Frame, first: RakiNetwork | None = None) -> RakiNetwork:
    balanced = {"windows": "balanced", "regularisation": LAMBDA}
    if first is not None:
        return refit_raki(first, frame.acs, **balanced)
    return fit_raki(frame.acs, ACCELERATION, rng=seeded(), **balanced)


def grappa(frame: Frame) -> GrappaKernel:
    return calibrate_grappa(frame.acs, ACCELERATION, regularisation=LAMBDA)


def random_features(frame: Frame) -> RakiNetwork:
    return fit_raki_rf(frame.acs, ACCELERATION, rng=seeded(), windows="balanced", regularisation=LAMBDA)


# How to have the weights of a later frame from this frame and the weights of the first.
METHODS: dict[str, tuple[Callable[[Frame], Weights], Callable[[Frame, Weights], Weights]]] = {
    "RAKI, weights of frame 0": (raki, lambda frame, first: first),
    "RAKI, last layer again": (raki, raki),
    "RAKI, refit": (raki, lambda frame, first: raki(frame)),
    "random features, refit": (random_features, lambda frame, first: random_features(frame)),
    "GRAPPA, weights of frame 0": (grappa, lambda frame, first: first),
    "GRAPPA, refit": (grappa, lambda frame, first: grappa(frame)),
}


def follow(frames: list[Frame], method: str) -> tuple[list[float], list[float], Tensor]:
    """NMSE of each frame, seconds of each frame for weights and filling, error image of the last."""
    begin, update = METHODS[method]
    start = time.perf_counter()
    first = begin(frames[0])
    errors, seconds = [], []
    for number, frame in enumerate(frames):
        if number:
            start = time.perf_counter()
        error, difference = frame.error(first if number == 0 else update(frame, first))
        seconds.append(time.perf_counter() - start)
        errors.append(error)
    return errors, seconds, difference


def draw(results: dict[str, dict[str, tuple]], output: Path) -> None:
    figure = Figure(figsize=(12, 2.9 * len(results)), layout="constrained")
    axes = figure.subplots(len(results), 4, width_ratios=(1.8, 1, 1, 1))
    shown = ("RAKI, weights of frame 0", "RAKI, last layer again", "RAKI, refit")
    for row, (case, rows) in zip(axes, results.items(), strict=True):
        for name, (errors, _, _) in rows.items():
            dashes = "--" if "frame 0" in name else "-"
            row[0].plot([1e4 * error for error in errors], dashes, marker="o", markersize=3, linewidth=1.2, label=name)
        row[0].set(xlabel="frame", title=f"NMSE·1e4, {case}")
        for axis, name in zip(row[1:], shown, strict=True):
            axis.imshow(rows[name][2].abs(), cmap="gray", vmin=0, vmax=0.15)
            axis.set_title(f"{name}\nlast frame, |error| 0 to 0.15", fontsize=8)
            axis.set_axis_off()
    axes[-1][0].legend(fontsize=8)
    save(figure, output, dpi=60)


@click.command()
@click.option("--frames", "n_frames", default=12, show_default=True, help="Frames of the series.")
@click.option("--noise", default=NOISE, show_default=True, help="SD per component; the brightest tissue is 1.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Picture of errors by frame.")
def dynamic(n_frames: int, noise: float, output: Path | None) -> None:
    """Follow a series with carried weights, a last layer solved again, and a new fit."""
    results, rows, sentences, floor = {}, [], [], []
    for case, (common, individual) in CASES.items():
        frames = series(n_frames, common, individual, noise)
        floor += [frame.noise_error() for frame in frames]
        results[case] = {name: follow(frames, name) for name in METHODS}
        for name, (errors, seconds, _) in results[case].items():
            later = sorted(seconds[1:])[len(seconds) // 2 - 1]
            shown = (f"{1e4 * error:.1f}" for error in (errors[0], errors[-1], sum(errors) / n_frames))
            rows.append((f"{case}, {name}", *shown, f"{1e3 * seconds[0]:.0f}", f"{1e3 * later:.0f}"))
        last = {name: found[0][-1] for name, found in results[case].items()}
        carried, solved, linear = (
            last[name] / last["RAKI, refit"]
            for name in ("RAKI, weights of frame 0", "RAKI, last layer again", "GRAPPA, refit")
        )
        sentences.append(
            f"{case}: NMSE of the last frame relative to a new fit is {carried:.2f} with the weights of "
            f"frame 0, {solved:.2f} with the last layer solved again, {linear:.2f} with GRAPPA refit."
        )
    print_conditions(
        f"simulated head, {n_frames} frames, {N_COILS} coils, {SIZE[0]} × {SIZE[1]}, R={ACCELERATION}, {ACS_LINES + 1} "
        f"ACS lines in every frame, put back; noise SD {noise:g}.\nAn ellipse brightens from 0 to 1 and moves by a "
        f"tenth of the head; phases drift evenly, by so many rad in all, of each coil: RMS.\nRAKI: 128/64, 60 epochs, "
        f"balanced windows, λ = {LAMBDA:g}, as GRAPPA's. ms of a frame: weights and filling; median of later ones.\n"
        f"NMSE·1e4 of the fully sampled frames, noise alone: {1e4 * sum(floor) / len(floor):.1f}."
    )
    header = ("drift, weights", "first NMSE·1e4", "last NMSE·1e4", "mean NMSE·1e4", "first frame ms", "later ms")
    print_table(header, rows)
    click.echo("\n".join(sentences))
    if output:
        draw(results, output)
