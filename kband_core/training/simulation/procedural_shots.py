"""Simulated scans of random objects along trajectories: as many spokes, or interleaves, as Nyquist asks for."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from kband_core.calibration import espirit_maps
from kband_core.density import radial_density, spiral_density
from kband_core.fourier import resize, to_kspace
from kband_core.nufft import adjoint_nufft, nufft
from kband_core.sampling import Trajectory
from kband_core.shot_angles import nyquist_spokes
from kband_core.training.dataset import Plane
from kband_core.training.simulation.procedural import NOISE, procedural_coil_image, ring_of_loops, with_noise
from kband_core.training.simulation.random_fields import between
from kband_core.training.simulation.random_objects import FINER, Objects, random_object
from kband_core.trajectories import spirals, spokes

OVERSAMPLING = 2  # of the readout
CALIBRATING = (24, 72)  # spokes that the maps are estimated from
INTERLEAVES = 2  # pixels of the matrix for each: it turns once
ACS = 24  # samples across the centre of k-space


def procedural_spokes(
    shape: tuple[int, int],
    *,
    n_coils: int,
    rng: torch.Generator,
    objects: Objects = "textured",
    noise: tuple[float, float] = NOISE,
) -> Plane:
    """Simulate a radial scan like the Cartesian one of `procedural_plane`: k-space `(n_coils, shot, sample)`.

    Spokes lie evenly over half a turn from a random angle on, their readout twice oversampled, from the fine image of
    the object without a grid in between. The maps are those that some of the spokes give, 24 to 72, as at work.
    """
    coil_image = _coil_image(shape, n_coils, objects, rng)
    n_spokes = nyquist_spokes(shape)
    angles = math.pi * (torch.arange(n_spokes, dtype=torch.float64) + between(0, 1, rng)) / n_spokes
    coords = spokes(angles, OVERSAMPLING * max(shape))
    kspace = with_noise(nufft(coil_image, coords / FINER) / FINER, noise, rng)
    n_calibrating = int(torch.randint(CALIBRATING[0], CALIBRATING[1] + 1, (), generator=rng))
    some = torch.linspace(0, n_spokes, min(n_calibrating, n_spokes) + 1)[:-1].long()
    csm = _maps(kspace[:, some] * radial_density(coords[some]), coords[some], shape)
    return _plane(kspace, csm, Trajectory(coords, radial_density(coords)))


def procedural_spirals(
    shape: tuple[int, int],
    *,
    n_coils: int,
    rng: torch.Generator,
    objects: Objects = "textured",
    noise: tuple[float, float] = NOISE,
) -> Plane:
    """Simulate a spiral scan in the same way: interleaves from a random angle on, maps from half of them at least."""
    coil_image = _coil_image(shape, n_coils, objects, rng)
    n_interleaves = math.ceil(max(shape) / INTERLEAVES)
    first = 2 * math.pi * between(0, 1, rng)
    turned = torch.tensor([[math.cos(first), math.sin(first)], [-math.sin(first), math.cos(first)]])  # (y, x)
    coords = spirals(n_interleaves, max(shape), OVERSAMPLING) @ turned.T
    kspace = with_noise(nufft(coil_image, coords / FINER) / FINER, noise, rng)
    n_calibrating = int(torch.randint(n_interleaves // 2, n_interleaves + 1, (), generator=rng))
    some = torch.linspace(0, n_interleaves, n_calibrating + 1)[:-1].long()
    csm = _maps(kspace[:, some] * spiral_density(coords[some]), coords[some], shape)
    return _plane(kspace, csm, Trajectory(coords, spiral_density(coords)))


def _coil_image(shape: tuple[int, int], n_coils: int, objects: Objects, rng: torch.Generator) -> Tensor:
    density = random_object(shape, rng, objects=objects)
    return procedural_coil_image(density, partial(ring_of_loops, n_coils=n_coils), rng)


def _maps(weighted: Tensor, coords: Tensor, shape: tuple[int, int]) -> Tensor:
    acs = resize(to_kspace(adjoint_nufft(weighted, coords, shape)), [min(ACS, side) for side in shape])
    return espirit_maps(acs, shape)


def _plane(kspace: Tensor, csm: Tensor, trajectory: Trajectory) -> Plane:
    mask = torch.ones(kspace.shape[-2], 1, dtype=torch.bool)
    return Plane(kspace, mask, csm, subject="procedural", protocol="procedural", trajectory=trajectory)
