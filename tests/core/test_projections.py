"""Projections of spokes: the central-slice theorem, and angles modulo half a turn."""

import math

import pytest
import torch

from kband_core.angular_interpolation import angles_between, interpolated, neighbours
from kband_core.nufft import nufft
from kband_core.projections import EXTENT, PIXELS, Spokes, to_projections, to_spokes
from kband_core.trajectories import spirals, spokes

pytest.importorskip("finufft")
SHAPE = (32, 32)


def lines(*degrees: float) -> torch.Tensor:
    return spokes(torch.tensor(degrees, dtype=torch.float64).deg2rad(), 64)


def disc() -> torch.Tensor:
    """A smooth disc beside the centre."""
    y, x = torch.meshgrid(torch.arange(32.0) - 18, torch.arange(32.0) - 20, indexing="ij")
    return torch.exp(-(y.square() + x.square()) / 18).to(torch.complex64)


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 200.0])
def test_a_projection_shows_an_object_where_its_direction_sees_it(degrees):
    """Two pixels below the centre and four to the right: x·cos θ + y·sin θ, to a projection pixel."""
    coords = lines(degrees)
    (projection,) = to_projections(nufft(disc(), coords), Spokes.of(coords, SHAPE))
    angle = math.radians(degrees % 180)
    seen = (4 * math.cos(angle) + 2 * math.sin(angle)) / 32
    place = (int(projection.abs().argmax()) - (PIXELS - 1) / 2) * EXTENT / PIXELS
    assert abs(place - seen) <= EXTENT / PIXELS


def test_a_spoke_read_backwards_has_the_same_projection():
    """θ and θ + 180° are one direction."""
    both = [to_projections(nufft(disc(), one), Spokes.of(one, SHAPE)) for one in (lines(40), lines(220))]
    torch.testing.assert_close(*both, atol=2e-3 * float(both[0].abs().max()), rtol=0)  # they end a sample apart


def test_samples_come_back_from_projections():
    """All of the object lies within the pixels; what is lost are ripples of the end of the band (measured: 0.3 %)."""
    coords = lines(0, 50, 300)
    samples, measured = nufft(disc(), coords), Spokes.of(coords, SHAPE)
    back = to_spokes(to_projections(samples, measured), measured)
    assert float((back - samples).norm() / samples.norm()) < 0.01


def test_a_spiral_has_no_projections():
    """One sentence."""
    with pytest.raises(ValueError, match=r"^spokes: 4 of 4 shots are not straight$"):
        Spokes.of(spirals(4, 32), SHAPE)


def test_interpolation_closes_the_half_turn():
    """Between 170° and 10° lies 0°: the first of them is read backwards there."""
    measured = torch.tensor([10.0, 90.0, 170.0]).deg2rad()
    ramp = torch.arange(5.0).to(torch.complex64)
    projections = torch.stack([torch.ones(5), torch.zeros(5), ramp]).to(torch.complex64)
    (found,) = interpolated(projections, neighbours(measured, torch.zeros(1)))
    torch.testing.assert_close(found, (1 + ramp.flip(-1)) / 2)


def test_gaps_are_filled_evenly():
    """Golden angles leave two widths of gaps; none is wider than asked for behind it, and none is asked for twice."""
    measured = (torch.arange(13) * 111.246 % 180).deg2rad()
    every = torch.cat([measured, angles_between(measured, 40)]).sort().values
    gaps = torch.diff(every, append=every[:1] + math.pi)
    assert float(gaps.max()) <= 1.01 * math.pi / 40
    assert float(gaps.min()) > 0.4 * math.pi / 40
