"""Which of several reconstructions explains measured spokes better that none of them was shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kband_core.coils import coil_images
from kband_core.density import radial_density
from kband_core.nufft import nufft
from kband_core.sampling import Trajectory
from kband_core.shot_angles import spoke_angles
from kband_core.shots import even_weight

EVERY = 8  # spokes, in the order of their angles, one is held out
FEWEST = 4  # of them that must be left

Reconstruct = Callable[[Tensor, Trajectory, Tensor], Tensor]


def unexplained(ways: Sequence[Reconstruct], kspace: Tensor, sampling: Trajectory, csm: Tensor) -> list[float]:
    """Return ‖W(A x − y)‖ / ‖W y‖ of held-out spokes for each way to make image sets x `(set, y, x)` of the others.

    `kspace` `(coil, spoke, sample)` along `sampling` `(spoke, sample, 2)`, `csm` `(set, coil, y, x)`; W is
    `even_weight`. Noise counts for all ways alike. Raises `ValueError` for what is no spoke, or too few.
    """
    order = spoke_angles(sampling.coords.cpu()).argsort()
    is_held = torch.zeros(len(order), dtype=torch.bool)
    is_held[order[EVERY // 2 :: EVERY]] = True
    if not is_held.any() or int((~is_held).sum()) < FEWEST:
        raise ValueError(f"held-out spokes: {len(order)} spokes, at least {FEWEST + 1} needed")
    is_held = is_held.to(kspace.device)
    shown, coords = sampling.coords[~is_held], sampling.coords[is_held]
    others = Trajectory(shown, radial_density(shown))
    weight = even_weight(coords)
    measured = kspace[:, is_held] * weight
    return [
        float((nufft(coil_images(way(kspace[:, ~is_held], others, csm), csm), coords) * weight - measured).norm()
              / measured.norm())
        for way in ways
    ]  # fmt: skip
