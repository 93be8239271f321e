"""Where a network may be used: what its training covers, as the model card states it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from kband_core.training.acquired import Acquired
from kband_core.training.material import Material
from kband_core.training.recipe import Recipe
from kband_core.training.supervised import Supervision

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
    incomplete = [each for each in material.acquired if not each.mask.all()]
    if len(incomplete) < max(len(material.acquired), 1):
        parts.append(_of_full_planes(supervise, material.matrix[0]))
    parts += _of_incomplete_planes(supervise, incomplete)
    slowest, fastest = min(part.acceleration[0] for part in parts), max(part.acceleration[1] for part in parts)
    return {
        "acceleration": (round(max((1 - TOLERANCE) * slowest, 1.0), 2), round((1 + TOLERANCE) * fastest, 2)),
        "matrix": material.matrix,
        "acs_lines": min(part.acs_lines for part in parts),
        **recipe.limits.model_dump(exclude_none=True),
        "sampling": tuple(sorted({part.sampling for part in parts})),
    }


def _of_full_planes(supervise: Supervision, n_lines: int) -> _Covered:
    slowest, fastest = _range(supervise.line_acceleration)
    fewest_acs, most_acs = _range(supervise.acs_lines)
    if supervise.sampling in ("equispaced", "mixed"):  # calibration lines come on top of the grid
        grid = round(slowest)
        slowest = 1 / (1 / grid + (1 - 1 / grid) * min(most_acs / n_lines, 1))
    return _Covered((slowest, fastest), fewest_acs, _sampling(supervise.sampling != "poisson"))


def _of_incomplete_planes(supervise: Supervision, planes: Sequence[Acquired]) -> Iterator[_Covered]:
    fewest_acs, _ = _range(supervise.acs_lines)
    drawn: dict[tuple[int, int], list[torch.Tensor]] = {}
    for plane in planes:
        if not supervise.draws_from(plane):
            alone = plane.acceleration()
            n_central = plane.central_lines(most=plane.shape[0])
            yield _Covered((alone, alone), n_central, _sampling(plane.is_by_lines()))
            continue
        if plane.shape not in drawn:
            drawn[plane.shape] = _draws(supervise, plane.shape)
        seen = [replace(plane, mask=lines & plane.mask) for lines in drawn[plane.shape]]
        accelerations = [each.acceleration() for each in seen]
        yield _Covered(
            (min(accelerations), max(accelerations)), plane.central_lines(most=fewest_acs),
            _sampling(supervise.sampling != "poisson"),
        )  # fmt: skip


def _draws(supervise: Supervision, shape: tuple[int, int]) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    ends = [replace(supervise, line_acceleration=end) for end in _range(supervise.line_acceleration)]
    return [end.draw(shape, rng) for end in ends for _ in range(N_DRAWS)]


def _sampling(is_by_lines: bool) -> Literal["lines", "samples"]:
    return "lines" if is_by_lines else "samples"


def _range(value: float | Sequence[float]) -> tuple[float, float]:
    return (value[0], value[-1]) if isinstance(value, Sequence) else (value, value)
