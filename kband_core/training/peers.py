"""What a network must beat: SENSE, and zeros where lines were left out, on the very examples that judge it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from kband_core.shots import Shots
from kband_core.solvers import solve_normal
from kband_core.training.example import Example

PEERS = ("sense", "zero_filled")
ON_GRID, ALONG = (0.01, 20), (0.001, 15)  # weight and iterations of the pipelines' SENSE, on a grid and along spokes
LEAST_GAIN = 0.1  # dB of PSNR
LEAST_SHARE = 0.01  # of the validation loss, where no plane is fully sampled


def peer_images(example: Example) -> dict[str, Tensor]:
    """Return the images `(b, set, y, x)` of a batch by what made them; along spokes there is no zero-filled one."""
    operator = example.operator()
    start = operator.adjoint(example.kspace)
    if isinstance(example.sampling, Shots):
        weight, n_iterations = ALONG
        weight = weight * example.sampling.weight[0].numel() / start[0, 0].numel()
        return {"sense": solve_normal(operator, start, weight, n_iterations)}
    return {"sense": solve_normal(operator, start, *ON_GRID), "zero_filled": start}


def no_better_than_sense(figures: Mapping[str, float]) -> str | None:
    """Say that the figures of a network are no better than those of SENSE beside them, or return None."""
    if "sense_psnr" in figures and figures["psnr"] < figures["sense_psnr"] + LEAST_GAIN:
        return f"it is no better than SENSE: PSNR {figures['psnr']:.2f} dB, SENSE {figures['sense_psnr']:.2f} dB"
    ours, theirs = figures.get("validation_loss"), figures.get("sense_validation_loss")
    if None not in (ours, theirs) and ours > (1 - LEAST_SHARE) * theirs:
        return f"it is no better than SENSE: validation loss {ours:.4g}, SENSE {theirs:.4g}"
    return None
