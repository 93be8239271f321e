"""How fast RAKI, its g-factor, coil maps and SENSE along a trajectory are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import torch
from torch import Tensor

from gpu_parts.here import Here
from gpu_parts.row import Row
from kband_core.calibration import coil_maps
from kband_core.nufft import adjoint_nufft, nufft
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, head_phantom, loop_coils
from kband_core.raki.fit import fit_raki
from kband_core.raki.gfactor import gfactor_map
from kband_core.raki.network import RakiNetwork, apply_raki
from kband_core.reconstruct import zero_filled
from kband_core.sampling import Grid, Trajectory
from kband_core.solvers import solve_normal
from kband_core.trajectories import spokes
from kband_core.trajectory_operator import TrajectoryOperator

ACCELERATION, ACS_LINES, COILS = 4, 24, 16


def raki(here: Here) -> Iterator[Row]:
    """Fit and image, as the chain does where calibration lines are in the image."""
    size, n_coils = (48, 4) if here.small else (256, COILS)

    def fit_and_image(device: torch.device) -> Callable[[], Tensor]:
        kspace, lines = _head(size, n_coils, device)
        return lambda: zero_filled(apply_raki(_fitted(kspace, 2 if here.small else None), kspace * lines.mask, lines))

    yield here.timed(f"RAKI, fit and image, {size}² × {n_coils}, R=4", fit_and_image, aim=1000)


def gfactor(here: Here) -> Iterator[Row]:
    """The map of a fitted network of 128 and 64 channels; on a CPU it takes minutes."""
    size, n_coils = (24, 2) if here.small else (320, COILS)

    def map_of(device: torch.device) -> Callable[[], Tensor]:
        kspace, lines = _head(size, n_coils, device)
        fitted = _fitted(kspace, 2)
        return lambda: gfactor_map(fitted, kspace * lines.mask, lines)

    yield here.timed(f"g-factor map of RAKI, {size}² × {n_coils}, R=4", map_of, aim=500, beside_cpu=False)


def espirit(here: Here) -> Iterator[Row]:
    """Coil maps, and where they are certain."""
    size, n_coils = (48, 4) if here.small else (256, COILS)

    def maps_of(device: torch.device) -> Callable[[], Tensor]:
        acs = _acs(_head(size, n_coils, device)[0])
        return lambda: coil_maps(acs, (size, size)).certain()

    yield here.timed(f"ESPIRiT, {size}² × {n_coils}, {ACS_LINES} lines", maps_of, aim=5)


def radial(here: Here) -> Iterator[Row]:
    """CG-SENSE along a trajectory whose transfer function is given: finufft, which makes it, may be missing."""
    size, n_coils, n_iterations = (32, 2, 3) if here.small else (192, COILS, 15)

    def solved(device: torch.device) -> Callable[[], Tensor]:
        csm = loop_coils(n_coils).maps((size, size)).unsqueeze(0).to(device)
        k = torch.arange(2 * size, device=device) / size - 1
        operator = TrajectoryOperator(Trajectory(torch.zeros(1, 1, 2, device=device)), csm)
        operator._spectrum = torch.fft.ifftshift(1 / (0.05 + k[:, None].hypot(k)))  # as of spokes
        image = head_phantom().image((size, size)).to(csm.dtype).unsqueeze(0).to(device)
        return lambda: solve_normal(operator, image, 0.1, n_iterations)

    yield here.timed(f"CG-SENSE along spokes, {size}² × {n_coils}, {n_iterations} iterations", solved, aim=30)


def along_spokes(here: Here) -> Iterator[Row]:
    """Samples of all coils along 69 spokes, and images of them again: the two ends of every reconstruction there."""
    size, n_coils, n_spokes = (32, 2, 5) if here.small else (192, COILS, 69)
    if find_spec("finufft") is None:
        yield Row("transform along spokes", flaw="finufft is missing")
        return
    engine = "cufinufft" if here.is_gpu and find_spec("cufinufft") else "finufft on the CPU"

    def transformed(device: torch.device) -> Callable[[], Tensor]:
        coil_image = (loop_coils(n_coils).maps((size, size)) * head_phantom().image((size, size))).to(device)
        coords = spokes(torch.arange(n_spokes) * math.pi / n_spokes, 2 * size).to(device)
        return lambda: adjoint_nufft(nufft(coil_image, coords), coords, (size, size))

    yield here.timed(f"along {n_spokes} spokes and back, {size}² × {n_coils}, by {engine}", transformed, aim=5)


def _head(size: int, n_coils: int, device: torch.device) -> tuple[Tensor, Grid]:
    """K-space `(coil, ky, kx)` of the head with a little noise, and every fourth line."""
    kspace = coil_kspace(head_phantom(), loop_coils(n_coils), (size, size), oversampling=1)
    noise = torch.randn(kspace.shape, dtype=kspace.dtype, generator=torch.Generator().manual_seed(0))
    kspace = kspace + 0.002 * kspace.abs().square().mean().sqrt() * noise
    return kspace.to(device), equispaced_lines(size, ACCELERATION, acs_lines=min(ACS_LINES, size)).to(device)


def _acs(kspace: Tensor) -> Tensor:
    centre = kspace.shape[-2] // 2
    return kspace[:, centre - ACS_LINES // 2 : centre + ACS_LINES // 2].contiguous()


def _fitted(kspace: Tensor, n_epochs: int | None) -> RakiNetwork:
    rng = torch.Generator().manual_seed(0)
    return fit_raki(
        _acs(kspace), ACCELERATION, rng=rng, windows="balanced", regularisation=1e-2, n_epochs=n_epochs
    )
