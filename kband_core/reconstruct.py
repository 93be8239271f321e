"""One door to every reconstruction: k-space in, image out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kband_core.coils import combine, merge_sets, root_sum_of_squares
from kband_core.fourier import to_image
from kband_core.grappa import GrappaKernel, apply_grappa
from kband_core.noise import noise_level
from kband_core.operators import EncodingOperator, GridOperator, encoding_operator
from kband_core.recorded import computed, record
from kband_core.sampling import Grid, Trajectory
from kband_core.scaling import plane_scale
from kband_core.self_ensemble import GUISES
from kband_core.shots import Shots, even_weight, shots_noise, shots_scale
from kband_core.solvers import solve_normal
from kband_core.threads import side_by_side, usable_threads


def zero_filled(kspace: Tensor, csm: Tensor | None = None) -> Tensor:
    """Transform k-space `(..., coil, ky, kx)` as it is and combine the coils: `(..., y, x)` complex64.

    With maps `(..., set, coil, y, x)` combined by them, without by root sum of squares.
    """
    coil_image = to_image(kspace)
    if csm is None:
        return root_sum_of_squares(coil_image).to(kspace.dtype)
    return merge_sets(combine(coil_image, csm))


def sense(
    kspace: Tensor, sampling: Grid | Trajectory, csm: Tensor, *, regularisation: float, n_iterations: int
) -> Tensor:
    """Reconstruct by CG-SENSE: min ‖A x − y‖² + λ‖x‖² (Pruessmann 2001), soft SENSE with two sets of maps.

    `kspace` `(..., coil, ky, kx)` as `sampling` says, `csm` `(..., set, coil, y, x)`; returns `(..., y, x)`. λ compares
    with the largest eigenvalue of AᴴA, which is at most 1.
    """
    return merge_sets(sense_sets(kspace, sampling, csm, regularisation=regularisation, n_iterations=n_iterations))


def sense_sets(
    kspace: Tensor, sampling: Grid | Trajectory, csm: Tensor, *, regularisation: float, n_iterations: int
) -> Tensor:
    """Reconstruct like `sense`, one image for each set of maps: `(..., set, y, x)`."""
    if kspace.is_cuda and isinstance(sampling, Grid):
        return computed(*_sense_on_grid(kspace, sampling, csm, regularisation, n_iterations))
    return _solved(encoding_operator(sampling, csm), kspace, regularisation, n_iterations)


def record_sense(
    kspace: Tensor, sampling: Grid, csm: Tensor, *, regularisation: float, n_iterations: int
) -> str | None:
    """Let the GPU where arrays of these shapes are be quicker at `sense` of others; why it cannot is returned."""
    return record(*_sense_on_grid(kspace, sampling, csm, regularisation, n_iterations))


def _sense_on_grid(kspace: Tensor, sampling: Grid, csm: Tensor, regularisation: float, n_iterations: int) -> tuple:
    """Return what is computed, by what, and of which tensors, as `computed` and `record` take them."""

    def solved(kspace: Tensor, mask: Tensor, csm: Tensor) -> Tensor:
        return _solved(GridOperator(Grid(mask), csm), kspace, regularisation, n_iterations)

    return ("SENSE", regularisation, n_iterations), solved, kspace, _mask_of(kspace, sampling), csm


def _mask_of(kspace: Tensor, sampling: Grid) -> Tensor:
    """The mask `(..., ky, kx)` or `(..., ky, 1)` of each of the planes: one shape, however it was given."""
    return sampling.mask.expand(*kspace.shape[:-3], *sampling.mask.shape[-2:])


def _solved(operator: EncodingOperator, kspace: Tensor, regularisation: float, n_iterations: int) -> Tensor:
    return solve_normal(operator, operator.adjoint(kspace), regularisation, n_iterations)


def grappa(kspace: Tensor, sampling: Grid, kernel: GrappaKernel, csm: Tensor | None = None) -> Tensor:
    """Fill the missing lines of `kspace` `(..., coil, ky, kx)` with a GRAPPA kernel and combine: `(..., y, x)`."""
    return zero_filled(apply_grappa(kernel, kspace, sampling), csm)


@dataclass(frozen=True)
class Given:
    """What a network is given of planes, scaled as in training: the image it makes, times `scale`, is in their unit.

    `kspace` `(b, coil, ky, kx)`, or `(b, coil, shot, sample)` with the weights of shots; `noise` and `scale` `(b,)`.
    """

    kspace: Tensor
    operator: EncodingOperator
    noise: Tensor
    scale: Tensor

    @classmethod
    def on_grid(
        cls, kspace: Tensor, sampling: Grid, csm: Tensor, noise: Tensor | None = None, scale: Tensor | None = None
    ) -> Given:
        """Make it of planes on a grid. `noise` `(b,)` is the SD of a sample, `scale` `(b,)` their `plane_scale`: told
        from `kspace` where none is given."""
        scale = plane_scale(kspace) if scale is None else scale
        noise = noise_level(kspace, sampling.mask) if noise is None else noise
        return cls(kspace / scale[:, None, None, None], encoding_operator(sampling, csm), noise / scale, scale)

    @classmethod
    def along(cls, kspace: Tensor, sampling: Trajectory, csm: Tensor) -> Given:
        """Make it of planes along trajectories. The noise is told from what lies beside the field of view."""
        coords, density = sampling.coords, sampling.density
        scale = shots_scale(kspace, coords, density, csm)
        noise = shots_noise(kspace, coords, tuple(csm.shape[-2:])) / scale
        shots = Shots(coords, even_weight(coords))
        weighted = shots.weight.unsqueeze(-3) * kspace / scale[:, None, None, None]
        return cls(weighted, encoding_operator(shots, csm), noise, scale)

    @torch.no_grad()
    def image_of(self, model: nn.Module) -> Tensor:
        """Return what a network makes of it, `(b, set, y, x)` in the unit of the planes."""
        if self._can_be_recorded(model):
            made = computed(*self._by(model))
        else:
            made = model(self.kspace, self.operator, self.noise)
        return made * self.scale[:, None, None, None]

    def record(self, model: nn.Module) -> str | None:
        """Let the GPU where planes of these shapes are be quicker at `image_of` others; why it cannot is returned."""
        return record(*self._by(model)) if self._can_be_recorded(model) else None

    def _can_be_recorded(self, model: nn.Module) -> bool:
        on_gpu = self.kspace.is_cuda and isinstance(self.operator, GridOperator)
        return on_gpu and getattr(model, "waits_for_nothing", False)

    def _by(self, model: nn.Module) -> tuple:
        """Return what is computed, by what, and of which tensors, as `computed` and `record` take them."""

        def made(kspace: Tensor, mask: Tensor, csm: Tensor, noise: Tensor) -> Tensor:
            return model(kspace, GridOperator(Grid(mask), csm), noise)

        mask = _mask_of(self.kspace, self.operator.sampling)
        return model, made, self.kspace, mask, self.operator.csm, self.noise


def network(kspace: Tensor, sampling: Grid, csm: Tensor, model: nn.Module, noise: Tensor | None = None) -> Tensor:
    """Reconstruct by a trained network of `kband_core.networks`; scaled as in training, and back again.

    `kspace` `(b, coil, ky, kx)`, zero where nothing was acquired; the mask of `sampling` for each of the b planes, or
    for all; `csm` `(b, set, coil, y, x)`; returns `(b, y, x)`. Each plane is scaled by its own. `noise` `(b,)` is the
    SD of the noise of a sample; `kspace` tells where none is given.
    """
    return merge_sets(network_sets(kspace, sampling, csm, model, noise))


def network_sets(
    kspace: Tensor, sampling: Grid, csm: Tensor, model: nn.Module, noise: Tensor | None = None,
    scale: Tensor | None = None, self_ensemble: int = 1,
) -> Tensor:  # fmt: skip
    """Reconstruct like `network`, one image for each set of maps: `(b, set, y, x)`. `scale` as of `Given.on_grid`.

    With `self_ensemble` the mean of what it makes of so many guises of the scan: on a CPU side by side, a thread for
    each, on a GPU one by one. Raises `ValueError` for more guises than there are.
    """

    def made(seen: tuple[Tensor, Tensor]) -> Tensor:
        kspace, csm = seen
        return Given.on_grid(kspace, sampling, csm, noise, scale).image_of(model)

    if not 1 <= self_ensemble <= 1 + len(GUISES):
        raise ValueError(f"self_ensemble is {self_ensemble}, 1 to {1 + len(GUISES)} guises expected")
    if self_ensemble == 1:
        return made((kspace, csm))
    guises = GUISES[: self_ensemble - 1]
    seen = [(kspace, csm), *(guise.of_scan(kspace, csm) for guise in guises)]
    first, *others = side_by_side(made, seen, usable_threads() if kspace.device.type == "cpu" else 1)
    images = [first, *(guise.undone(image) for guise, image in zip(guises, others, strict=True))]
    return torch.stack(images).mean(0)


def network_along(kspace: Tensor, sampling: Trajectory, csm: Tensor, model: nn.Module) -> Tensor:
    """Reconstruct along trajectories by a trained network, scaled as in training: image sets `(b, set, y, x)`.

    `kspace` `(b, coil, shot, sample)`, `csm` `(b, set, coil, y, x)`; `sampling` has their axis b, and its density.
    `ValueError` where the readout is not oversampled, beside which noise is told.
    """
    return Given.along(kspace, sampling, csm).image_of(model)


def check_image(image: Tensor) -> Tensor:
    """Return `image` if a person can be shown it. Raises `ValueError` if it holds NaN or infinity, or only zeros."""
    is_finite, is_any = torch.stack([torch.isfinite(torch.view_as_real(image)).all(), image.any()]).tolist()
    if not is_finite:
        raise ValueError("the image is not finite")
    if not is_any:
        raise ValueError("the image is zero everywhere")
    return image
