"""SENSE against BART's and GRAPPA against pygrappa's, on fully sampled brains from which lines are taken away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import click
import torch
from measure import data_option, fully_sampled, print_conditions, print_table, scores
from peers import bart_maps, bart_sense, pygrappa, require_peers
from torch import Tensor

from gadgets.recon.grappa import Grappa
from gadgets.recon.sense import Sense
from kband_core.calibration import espirit_maps
from kband_core.coils import merge_sets, root_sum_of_squares
from kband_core.fourier import to_image
from kband_core.grappa import apply_grappa, calibrate_grappa
from kband_core.metrics import nrmse
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils
from kband_core.reconstruct import sense
from kband_core.sampling import Grid

BRAINS = {"flash": "brain_flash_16ch", "t1": "brain_t1_8ch", "prescan": "brain_prescan_16ch",
          "gre": "head_gre_32ch_4slices"}  # fmt: skip
ACS_LINES, ACCELERATIONS = 24, (2, 3, 4)
REGULARISATIONS = (0.0005, 0.001, 0.002, 0.005, 0.007, 0.01, 0.015, 0.02, 0.05)
ITERATIONS = (10, 20, 30, 50)
CONVERGED = 100  # iterations that settle what convergence is
OUR_KERNELS = ((2, 5), (3, 5), (4, 5), (2, 7), (4, 7))
PYGRAPPA_KERNELS, PYGRAPPA_REGULARISATIONS = ((5, 5), (7, 5), (5, 7), (9, 5)), (0.001, 0.01, 0.1)
LIMIT = 1.05


class Case(NamedTuple):
    """An undersampled scan `(coil, ky, kx)`, its sampling, and the magnitude image that all its lines would give."""

    name: str
    kspace: Tensor
    sampling: Grid
    reference: Tensor

    @property
    def acs(self) -> Tensor:
        start = self.kspace.shape[-2] // 2 - ACS_LINES // 2
        return self.kspace[:, start : start + ACS_LINES].contiguous()

    def maps(self, n_sets: int) -> Tensor:
        return espirit_maps(self.acs, self.kspace.shape[-2:], n_sets=n_sets)

    def sense(self, csm: Tensor, regularisation: float, n_iterations: int) -> Tensor:
        return sense(self.kspace, self.sampling, csm, regularisation=regularisation, n_iterations=n_iterations)


def undersampled(name: str, kspace: Tensor, acceleration: int) -> Case:
    """Keep every R-th line and the ACS; say what acceleration is left."""
    sampling = equispaced_lines(kspace.shape[-2], acceleration, acs_lines=ACS_LINES)
    left = sampling.acceleration()
    label = f"{name} {'×'.join(map(str, kspace.shape))}, R={acceleration} ({left:.2f})"
    return Case(label, kspace * sampling.mask, sampling, root_sum_of_squares(to_image(kspace)))


def wrapped_head() -> Tensor:
    """Scan the head phantom with a field of view that cuts 30 % off along the phase direction."""
    kspace = coil_kspace(head_phantom(), loop_coils(8, object_phase=1.0), (144, 192), fov=(0.7, 1.0), oversampling=1)
    return kspace + complex_noise(0.02**2 * torch.eye(8), kspace.shape[1:], torch.Generator().manual_seed(0))


@click.command()
@data_option
def main(data: Path) -> None:
    """Compare on the same k-space, the same λ, the same combination; exit with 1 if an error exceeds 1.05 of theirs."""
    require_peers()
    brains = {name: fully_sampled(data / f"{stem}.h5") for name, stem in BRAINS.items()}
    cases = [undersampled(name, kspace, r) for (name, kspace), r in product(brains.items(), ACCELERATIONS)]
    wrapped = [undersampled("wrapped phantom", wrapped_head(), r) for r in (1, 2, 3)]
    print_conditions(
        f"every R-th line and {ACS_LINES} ACS lines of coils × ky × kx; in brackets the R that is left.\n"
        "Errors are those of the magnitude to the root sum of squares of the fully sampled coil images,\n"
        "after one least-squares factor."
    )
    weight, n_iterations = Sense.regularisation, Sense.n_iterations
    click.echo(
        f"SENSE, λ = {weight}: ours, {n_iterations} iterations; BART's, 100 (ecalib -r {ACS_LINES} -m, pics -l2).\n"
        "'In head': where both have maps. 'Same maps': difference of the two solvers on our maps, 100 iterations each."
    )
    exceeding = _compare_sense([*cases, *wrapped], weight, n_iterations)
    click.echo(
        "GRAPPA, combined by root sum of squares. Our kernel counts acquired lines × samples, mdgrappa's all lines;\n"
        f"its kernel and λ are the best for each case of {PYGRAPPA_KERNELS} and {PYGRAPPA_REGULARISATIONS}."
    )
    exceeding += _compare_grappa(cases)
    click.echo("Ours: NRMSE over λ, one set of maps; loss is the increase over the best λ of the case.")
    _sweep_regularisation(cases, weight)
    click.echo(f"Ours: NRMSE over iterations at λ = {weight}; in brackets the distance to {CONVERGED} iterations.")
    _sweep_iterations(cases, weight)
    if exceeding:
        raise click.ClickException(f"{len(exceeding)} errors exceed {LIMIT} of theirs: {'; '.join(exceeding)}")
    click.echo(f"no error exceeds {LIMIT} of theirs")


def _compare_sense(cases: Sequence[Case], weight: float, n_iterations: int) -> list[str]:
    header = ("SENSE", "sets", "NRMSE ours", "BART", "ratio", "in head ours", "BART", "ratio", "SSIM ours", "BART",
              "same maps")  # fmt: skip
    rows, exceeding = [], []
    for case, n_sets in product(cases, (1, 2)):
        csm, theirs = case.maps(n_sets), bart_maps(case.kspace, ACS_LINES, n_sets)
        image = case.sense(csm, weight, n_iterations)
        other = merge_sets(bart_sense(case.kspace, theirs, weight, 100))
        solved = merge_sets(bart_sense(case.kspace, csm, weight, 100))
        head = (csm.abs().amax((0, 1)) > 0) & (theirs.abs().amax((0, 1)) > 0)
        whole, inside = ([scores(x * m, case.reference * m) for x in (image, other)] for m in (torch.tensor(1), head))
        (error, similarity), (other_error, other_similarity) = whole
        ratios = error / other_error, inside[0][0] / inside[1][0]
        same = float(nrmse(case.sense(csm, weight, 100).abs(), solved.abs()))
        rows.append((case.name, f"{n_sets}", f"{error:.4f}", f"{other_error:.4f}", f"{ratios[0]:.3f}",
                     f"{inside[0][0]:.4f}", f"{inside[1][0]:.4f}", f"{ratios[1]:.3f}",
                     f"{similarity:.3f}", f"{other_similarity:.3f}", f"{same:.0e}"))  # fmt: skip
        if max(ratios) > LIMIT:
            exceeding.append(f"SENSE, {case.name}, {n_sets} sets: {ratios[0]:.3f}, in head {ratios[1]:.3f}")
    print_table(header, rows)
    return exceeding


def _compare_grappa(cases: Sequence[Case]) -> list[str]:
    default = Grappa.kernel_lines, Grappa.kernel_samples
    rows, errors_by_kernel, exceeding = [], [], []
    for case, acceleration in zip(cases, ACCELERATIONS * len(BRAINS), strict=True):
        ours = {kernel: _score_filled(_filled(case, acceleration, kernel), case) for kernel in (default, *OUR_KERNELS)}
        (other_error, other_similarity), setting = min(_tried_pygrappa(case))
        error, similarity = ours[default]
        ratio = error / other_error
        rows.append((case.name, f"{error:.4f}", f"{other_error:.4f}", f"{ratio:.3f}", f"{similarity:.3f}",
                     f"{other_similarity:.3f}", setting))  # fmt: skip
        errors = [ours[kernel][0] for kernel in OUR_KERNELS]
        errors_by_kernel.append((case.name, *(f"{e:.4f} ({e / other_error:.2f})" for e in errors)))
        if ratio > LIMIT:
            exceeding.append(f"GRAPPA, {case.name}: {ratio:.3f}")
    print_table((f"GRAPPA, ours {default[0]}×{default[1]}", "NRMSE ours", "pygrappa", "ratio", "SSIM ours", "pygrappa",
                 "pygrappa's choice"), rows)  # fmt: skip
    click.echo("Ours with other kernels, NRMSE and ratio to pygrappa's; fewer lines where the ACS do not span more.")
    print_table(("GRAPPA", *(f"{lines}×{samples}" for lines, samples in OUR_KERNELS)), errors_by_kernel)
    return exceeding


def _filled(case: Case, acceleration: int, kernel: tuple[int, int]) -> Tensor:
    """Fill by the kernel, shortened like `Grappa` does where the ACS do not span it."""
    lines = max(min(kernel[0], (ACS_LINES - 1) // acceleration + 1), 2)
    weight = Grappa.regularisation
    ours = calibrate_grappa(case.acs, acceleration, kernel=(lines, kernel[1]), regularisation=weight)
    return apply_grappa(ours, case.kspace, case.sampling)


def _tried_pygrappa(case: Case) -> Iterator[tuple[tuple[float, float], str]]:
    for kernel, weight in product(PYGRAPPA_KERNELS, PYGRAPPA_REGULARISATIONS):
        filled = pygrappa(case.kspace, case.acs, kernel, weight)
        yield _score_filled(filled, case), f"{kernel[0]}×{kernel[1]}, {weight}"


def _score_filled(kspace: Tensor, case: Case) -> tuple[float, float]:
    return scores(root_sum_of_squares(to_image(kspace)), case.reference)


def _sweep_regularisation(cases: Sequence[Case], weight: float) -> None:
    rows, losses = [], []
    for case in cases:
        csm = case.maps(1)
        errors = {w: scores(case.sense(csm, w, CONVERGED), case.reference)[0] for w in {*REGULARISATIONS, weight}}
        losses.append([errors[w] / min(errors.values()) - 1 for w in REGULARISATIONS])
        best = min(errors, key=errors.__getitem__)
        loss = errors[weight] / errors[best] - 1
        rows.append((case.name, *(f"{errors[w]:.4f}" for w in REGULARISATIONS), f"{best}", f"{loss:.1%}"))
    rows.append(("mean loss of this λ", *(f"{mean(column):.1%}" for column in zip(*losses, strict=True)), "", ""))
    rows.append(("greatest loss", *(f"{max(column):.1%}" for column in zip(*losses, strict=True)), "", ""))
    print_table(("λ", *map(str, REGULARISATIONS), "best", f"loss at {weight}"), rows)


def _sweep_iterations(cases: Sequence[Case], weight: float) -> None:
    rows = []
    for case in cases:
        csm = case.maps(1)
        settled = case.sense(csm, weight, CONVERGED)
        cells = []
        for n in ITERATIONS:
            image = case.sense(csm, weight, n)
            cells.append(f"{scores(image, case.reference)[0]:.4f} ({float(nrmse(image, settled)):.0e})")
        rows.append((case.name, *cells, f"{scores(settled, case.reference)[0]:.4f}"))
    print_table(("iterations", *map(str, ITERATIONS), str(CONVERGED)), rows)


if __name__ == "__main__":
    main()
