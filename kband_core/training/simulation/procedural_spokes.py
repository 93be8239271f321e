"""Simulated radial scans of random objects, as many spokes as Nyquist asks for."""

from __future__ import annotations

import math
from functools import partial

import torch

from kband_core.calibration import espirit_maps
from kband_core.density import radial_density
from kband_core.fourier import resize, to_kspace
from kband_core.nufft import adjoint_nufft, nufft
from kband_core.sampling import Trajectory
from kband_core.shots import nyquist_spokes
from kband_core.training.dataset import Plane
from kband_core.training.simulation.procedural import NOISE, procedural_coil_image, ring_of_loops, with_noise
from kband_core.training.simulation.random_fields import between
from kband_core.training.simulation.random_objects import FINER, Objects, random_object
from kband_core.trajectories import spokes

OVERSAMPLING = 2  # of the readout
CALIBRATING = (24, 72)  # spokes that the maps are estimated from
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
    density = random_object(shape, rng, objects=objects)
    coil_image = procedural_coil_image(density, partial(ring_of_loops, n_coils=n_coils), rng)
    n_spokes = nyquist_spokes(shape)
    angles = math.pi * (torch.arange(n_spokes, dtype=torch.float64) + between(0, 1, rng)) / n_spokes
    coords = spokes(angles, OVERSAMPLING * max(shape))
    kspace = with_noise(nufft(coil_image, coords / FINER) / FINER, noise, rng)
    n_calibrating = int(torch.randint(CALIBRATING[0], CALIBRATING[1] + 1, (), generator=rng))
    some = torch.linspace(0, n_spokes, min(n_calibrating, n_spokes) + 1)[:-1].long()
    weighted = kspace[:, some] * radial_density(coords[some])
    acs = resize(to_kspace(adjoint_nufft(weighted, coords[some], shape)), [min(ACS, side) for side in shape])
    return Plane(
        kspace, torch.ones(n_spokes, 1, dtype=torch.bool), espirit_maps(acs, shape), subject="procedural",
        protocol="procedural", trajectory=Trajectory(coords, radial_density(coords)),
    )  # fmt: skip
