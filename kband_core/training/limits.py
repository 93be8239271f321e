"""Where a network may be used: what its training covers, as the model card states it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from kband_core.sampling import Grid
from kband_core.training.acquired import Acquired
from kband_core.training.material import Material
from kband_core.training.recipe import Recipe
from kband_core.training.supervision import Supervision
from kband_core.training.undersampling import Undersampling

TOLERANCE = 0.1  # of the acceleration: numbers of lines are whole
N_DRAWS = 4  # at each end of a range of accelerations


@dataclass(frozen=True)
class _Covered:
    """The lowest and highest acceleration of some scans, their fewest central lines, and what lacks of k-space."""

    acceleration: tuple[float, float]
    acs_lines: int
    sampling: Literal["lines", "samples"]


def covered(recipe: Recipe, material: Material) -> dict[str, object]:
    """Return the limits of the model card: what the network sees of the planes, but for what the recipe says of it.

    Lines are left out of fully sampled planes as the recipe says. Of others they lack besides what was not acquired, or
    that alone where the supervision takes such planes as they are.
    """
    supervise, parts = recipe.supervision.build(), []
    incomplete = [each for each in material.acquired if not each.sampling.is_complete()]
    if len(incomplete) < max(len(material.acquired), 1):
        parts.append(_of_full_planes(supervise.undersampling, material.matrix[0]))
    parts += _of_incomplete_planes(supervise, incomplete)
    slowest, fastest = min(part.acceleration[0] for part in parts), max(part.acceleration[1] for part in parts)
    return {
        "acceleration": (round(max((1 - TOLERANCE) * slowest, 1.0), 2), round((1 + TOLERANCE) * fastest, 2)),
        "matrix": material.matrix,
        "acs_lines": min(part.acs_lines for part in parts),
        **recipe.limits.model_dump(exclude_none=True),
        "sampling": tuple(sorted({part.sampling for part in parts})),
    }


def _of_full_planes(drawn: Undersampling, n_lines: int) -> _Covered:
    slowest, fastest = drawn.accelerations
    fewest_acs, most_acs = drawn.acs_numbers
    if drawn.sampling in ("equispaced", "mixed"):  # calibration lines come on top of the grid
        grid = round(slowest)
        slowest = 1 / (1 / grid + (1 - 1 / grid) * min(most_acs / n_lines, 1))
    return _Covered((slowest, fastest), fewest_acs, _sampling(drawn.sampling != "poisson"))


def _of_incomplete_planes(supervise: Supervision, planes: Sequence[Acquired]) -> Iterator[_Covered]:
    undersampling = supervise.undersampling
    fewest_acs, _ = undersampling.acs_numbers
    drawn: dict[tuple[int, int], list[Grid]] = {}
    for plane in planes:
        if not supervise.draws_from(plane):
            alone = plane.sampling.acceleration()
            yield _Covered((alone, alone), plane.sampling.central_lines(), _sampling(plane.sampling.is_by_lines()))
            continue
        if plane.shape not in drawn:
            drawn[plane.shape] = _draws(undersampling, plane.shape)
        accelerations = [grid.within(plane.sampling.mask).acceleration() for grid in drawn[plane.shape]]
        yield _Covered(
            (min(accelerations), max(accelerations)), plane.sampling.central_lines(most=fewest_acs),
            _sampling(undersampling.sampling != "poisson"),
        )  # fmt: skip


def _draws(undersampling: Undersampling, shape: tuple[int, int]) -> list[Grid]:
    rng = torch.Generator().manual_seed(0)
    ends = [replace(undersampling, line_acceleration=end) for end in undersampling.accelerations]
    return [end.draw(shape, rng) for end in ends for _ in range(N_DRAWS)]


def _sampling(is_by_lines: bool) -> Literal["lines", "samples"]:
    return "lines" if is_by_lines else "samples"
