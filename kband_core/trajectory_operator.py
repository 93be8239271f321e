"""The encoding operator along a trajectory."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import coil_images, combine
from kband_core.nufft import adjoint_nufft, normal_nufft, normal_spectrum, nufft
from kband_core.sampling import Trajectory
from kband_core.threads import side_by_side


class TrajectoryOperator:
    """A = √W·F·S with F along a trajectory: image sets `(..., set, y, x)` → samples `(..., coil, shot, sample)`.

    The trajectory, `(shot, sample, 2)`, is the same for all axes before, and so is W, `weight` `(shot, sample)`, or 1.
    `forward` and `adjoint` need finufft, `normal` needs it once; AᴴA is a convolution of each coil's image. Derivatives
    pass to images, samples and maps, and to the coordinates, for which `normal` is `adjoint` after `forward`. Raises
    `ValueError` for a trajectory in three dimensions, or for several at once.
    """

    def __init__(self, sampling: Trajectory, csm: Tensor, weight: Tensor | None = None) -> None:
        check_axes(csm=(csm, "... set coil y x"))
        if sampling.coords.ndim != 3 or sampling.coords.shape[-1] != 2:
            raise ValueError(
                f"Trajectory: the coordinates have shape {tuple(sampling.coords.shape)}, (shot, sample, 2) expected"
            )
        self.sampling, self.csm, self.weight = sampling, csm, weight
        self._root = None if weight is None else weight.sqrt()
        self._n_threads = torch.get_num_threads()

    def forward(self, image: Tensor) -> Tensor:
        """A: `(..., set, y, x)` → `(..., coil, shot, sample)`."""
        samples = nufft(coil_images(image, self.csm), self.sampling.coords)
        return samples if self._root is None else samples * self._root

    def adjoint(self, kspace: Tensor) -> Tensor:
        """Aᴴ: `(..., coil, shot, sample)` → `(..., set, y, x)`."""
        kspace = kspace if self._root is None else kspace * self._root
        return combine(adjoint_nufft(kspace, self.sampling.coords, tuple(self.csm.shape[-2:])), self.csm)

    def normal(self, image: Tensor) -> Tensor:
        """AᴴA, some coils at a time, side by side; but in turn where derivatives are recorded."""
        if torch.is_grad_enabled() and self.sampling.coords.requires_grad:
            return self.adjoint(self.forward(image))

        def of_coils(csm: Tensor) -> Tensor:
            if csm.shape[-3] > 1:
                return combine(normal_nufft(coil_images(image, csm), self._spectrum), csm)
            coil = csm.squeeze(-3)  # of one alone, sums over coils would be copies
            return coil.conj() * normal_nufft((coil * image).sum(-3, keepdim=True), self._spectrum)

        if torch.is_grad_enabled() and (image.requires_grad or self.csm.requires_grad):
            return of_coils(self.csm)
        return sum(side_by_side(of_coils, self._parts, self._n_threads))

    @cached_property
    def _spectrum(self) -> Tensor:
        return normal_spectrum(self.sampling.coords, tuple(self.csm.shape[-2:]), self.weight)

    @cached_property
    def _parts(self) -> tuple[Tensor, ...]:
        """Maps of one coil at a time, whose padded image stays in a core's cache; a GPU takes all at once."""
        return self.csm.split(1 if self.csm.device.type == "cpu" else self.csm.shape[-3], dim=-3)
