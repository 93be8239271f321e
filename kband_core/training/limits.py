"""Where a network may be used: what its training covers, as the model card states it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from kband_core.likeness import signal_to_noise, unmapped_share
from kband_core.noise import noise_level
from kband_core.sampling import Grid
from kband_core.shot_angles import shot_kind
from kband_core.training.acquired import Acquired
from kband_core.training.material import Material
from kband_core.training.recipe import Recipe
from kband_core.training.simulation.procedural import NOISE
from kband_core.training.supervision import AlongSpokes, Supervision
from kband_core.training.undersampling import Undersampling

TOLERANCE = 0.1  # of the acceleration, since numbers of lines are whole, and of what only some planes tell
N_DRAWS = 4  # at each end of a range of accelerations
N_PLANES = 64  # of a file, that tell SNR and what maps leave out
N_EXAMPLES = 32  # of radial scans, that tell their SNR
SELDOM = 0.05  # of them: a single one that is strange does not make a network know the like of it
FAINT = 0.01  # of the calibration's energy: so much lies outside the maps of no simulated scan of 300


@dataclass(frozen=True)
class _Covered:
    """The lowest and highest acceleration of some scans, their fewest central lines, and what lacks of k-space.

    `spacing`: of the widest grid; of random lines that of their acceleration, which leaves out less outside the centre.
    """

    acceleration: tuple[float, float]
    acs_lines: int
    sampling: tuple[Literal["lines", "samples"], ...]
    spacing: int


def covered(recipe: Recipe, material: Material) -> dict[str, object]:
    """Return the limits of the model card: what the network sees of the planes, but for what the recipe says of it.

    Lines are left out of fully sampled planes as the recipe says. Of others they lack besides what was not acquired, or
    that alone where the supervision takes such planes as they are.
    """
    supervise, parts = recipe.supervision.build(), []
    if isinstance(supervise, AlongSpokes):
        return _along_spokes(recipe, supervise, material)
    shapes = {each.shape for each in material.acquired if supervise.draws_from(each)}
    for shape in shapes if material.acquired else {2 * material.matrix[:1]}:
        supervise.undersampling.require_room(shape)
    incomplete = [each for each in material.acquired if not each.sampling.is_complete()]
    if len(incomplete) < max(len(material.acquired), 1):
        parts.append(_of_full_planes(supervise.undersampling, material.matrix[0]))
    parts += _of_incomplete_planes(supervise, incomplete)
    slowest, fastest = min(part.acceleration[0] for part in parts), max(part.acceleration[1] for part in parts)
    return {
        "acceleration": (round(max((1 - TOLERANCE) * slowest, 1.0), 2), round((1 + TOLERANCE) * fastest, 2)),
        "matrix": material.matrix,
        "acs_lines": min(part.acs_lines for part in parts),
        "coils": material.coils,
        **recipe.limits.model_dump(exclude_none=True),
        "sampling": tuple(sorted({one for part in parts for one in part.sampling})),
        "spacing": max(part.spacing for part in parts),
        **_signal(recipe, material),
    }


def _along_spokes(recipe: Recipe, supervise: AlongSpokes, material: Material) -> dict[str, object]:
    """Of shots those of Nyquist over those drawn, or over those of planes that are taken as they are; and the SNR."""
    taken = [each for each in material.acquired if not supervise.draws_from(each)]
    alone = [each.acceleration for each in taken]
    drawn = supervise.undersampling.accelerations if len(taken) < max(len(material.acquired), 1) else ()
    rng = torch.Generator().manual_seed(0)
    drawn_planes = (material.scans.draw(step, 0, 1)[0] for step in range(N_EXAMPLES))
    planes = [plane for plane in drawn_planes if plane.csm.any()]
    snr = torch.stack([1 / supervise(plane, rng, 0.0).noise for plane in planes])
    return {
        "acceleration": (
            round((1 - TOLERANCE) * min((*drawn, *alone)), 2), round((1 + TOLERANCE) * max((*drawn, *alone)), 2)
        ),
        "matrix": material.matrix,
        "acs_lines": 0,
        **recipe.limits.model_dump(exclude_none=True),
        "sampling": tuple(sorted({shot_kind(plane.trajectory.coords) for plane in planes})),
        "coils": material.coils if supervise.sees_coils else None,
        "snr": round((1 - TOLERANCE) * float(torch.quantile(snr, SELDOM)), 1),
    }  # fmt: skip


def _signal(recipe: Recipe, material: Material) -> dict[str, float]:
    """The SNR, and the share of the calibration outside the maps, beyond which lies 1 plane of a file in 20.

    Of simulated scans the noise is known: that of the loudest. Planes of nothing but noise, without maps, do not count.
    """
    if recipe.data.procedural is not None:
        return {"snr": 1 / NOISE[1], "unmapped": FAINT}
    n_planes = min(material.scans.steps_per_epoch(1), N_PLANES)
    planes = (material.scans.draw(step, 0, 1)[0] for step in range(n_planes))
    seen = [
        (signal_to_noise(plane.kspace, noise), unmapped_share(plane.kspace, plane.csm, noise))
        for plane in planes if plane.csm.any()
        for noise in [noise_level(plane.kspace, plane.mask)]
    ]  # fmt: skip
    if not seen:
        return {}
    snr, unmapped = (torch.stack(figures) for figures in zip(*seen, strict=True))
    return {
        "snr": round((1 - TOLERANCE) * float(torch.quantile(snr, SELDOM)), 1),
        "unmapped": round(max((1 + TOLERANCE) * float(torch.quantile(unmapped, 1 - SELDOM)), FAINT), 4),
    }


def _of_full_planes(drawn: Undersampling, n_lines: int) -> _Covered:
    slowest, fastest = drawn.accelerations
    fewest_acs, most_acs = drawn.acs_numbers
    if "equispaced" in drawn.patterns:  # calibration lines come on top of the grid
        grid = round(slowest)
        slowest = 1 / (1 / grid + (1 - 1 / grid) * min(most_acs / n_lines, 1))
    return _Covered((slowest, fastest), fewest_acs, _samplings(drawn), round(fastest))


def _of_incomplete_planes(supervise: Supervision, planes: Sequence[Acquired]) -> Iterator[_Covered]:
    undersampling = supervise.undersampling
    fewest_acs, _ = undersampling.acs_numbers
    drawn: dict[tuple[int, int], list[Grid]] = {}
    for plane in planes:
        if not supervise.draws_from(plane):
            alone = plane.sampling.acceleration()
            yield _Covered(
                (alone, alone), plane.sampling.central_lines(), (_sampling(plane.sampling.is_by_lines()),),
                plane.sampling.spacing() or round(alone),
            )  # fmt: skip
            continue
        if plane.shape not in drawn:
            drawn[plane.shape] = _draws(undersampling, plane.shape)
        accelerations = [grid.within(plane.sampling.mask).acceleration() for grid in drawn[plane.shape]]
        yield _Covered(
            (min(accelerations), max(accelerations)), plane.sampling.central_lines(most=fewest_acs),
            _samplings(undersampling),
            max(round(undersampling.accelerations[1]), plane.sampling.spacing() or 1),
        )  # fmt: skip


def _draws(undersampling: Undersampling, shape: tuple[int, int]) -> list[Grid]:
    rng = torch.Generator().manual_seed(0)
    ends = [replace(undersampling, line_acceleration=end) for end in undersampling.accelerations]
    return [end.draw(shape, rng) for end in ends for _ in range(N_DRAWS)]


def _samplings(drawn: Undersampling) -> tuple[Literal["lines", "samples"], ...]:
    return tuple(sorted({_sampling(pattern != "poisson") for pattern in drawn.patterns}))


def _sampling(is_by_lines: bool) -> Literal["lines", "samples"]:
    return "lines" if is_by_lines else "samples"
