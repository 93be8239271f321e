"""The encoding operator of weighted shots, for a batch of planes that each have a trajectory of their own."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import coil_images, combine
from kband_core.nufft import adjoint_nufft, normal_spectrum, nufft
from kband_core.shots import Shots
from kband_core.trajectory_operator import TrajectoryOperator


class ShotsOperator(TrajectoryOperator):
    """A = W·F·S: image sets `(b, set, y, x)` → samples `(b, coil, shot, sample)`, each times its weight.

    Shots without weight are not computed; their samples are zero. AᴴA is a convolution, as along one trajectory.
    Derivatives pass to images and samples.
    """

    def __init__(self, sampling: Shots, csm: Tensor) -> None:
        check_axes(coords=(sampling.coords, "b shot sample axis"), weight=(sampling.weight, "b shot sample"),
                   csm=(csm, "b set coil y x"))  # fmt: skip
        self.sampling, self.csm = sampling, csm
        self._n_threads = torch.get_num_threads()

    def forward(self, image: Tensor) -> Tensor:
        """A: `(b, set, y, x)` → `(b, coil, shot, sample)`."""
        planes = []
        for coils, coords, weight in zip(coil_images(image, self.csm), *self._each, strict=True):
            counts = weight.any(-1)
            samples = nufft(coils, coords[counts]) * weight[counts]
            plane = samples.new_zeros(*samples.shape[:-2], *weight.shape)
            planes.append(plane.index_copy(-2, counts.nonzero().flatten(), samples))
        return torch.stack(planes)

    def adjoint(self, kspace: Tensor) -> Tensor:
        """Aᴴ: `(b, coil, shot, sample)` → `(b, set, y, x)`."""
        shape, planes = tuple(self.csm.shape[-2:]), []
        for samples, coords, weight in zip(kspace, *self._each, strict=True):
            counts = weight.any(-1)
            planes.append(adjoint_nufft(samples[:, counts] * weight[counts], coords[counts], shape))
        return combine(torch.stack(planes), self.csm)

    @property
    def _each(self) -> tuple[Tensor, Tensor]:
        return self.sampling.coords, self.sampling.weight

    @cached_property
    def _spectrum(self) -> Tensor:
        """Transfer functions `(b, 1, 2y, 2x)`."""
        shape = tuple(self.csm.shape[-2:])
        planes = zip(*self._each, strict=True)
        return torch.stack([normal_spectrum(coords, shape, weight.square()) for coords, weight in planes]).unsqueeze(1)
