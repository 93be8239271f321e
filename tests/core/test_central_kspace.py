"""The centre of k-space along trajectories: how much of it is covered, and what is found there."""

import math

import pytest
import torch

from kband_core.central_kspace import FEWEST, GAP, bareness, central_kspace, covered_extent
from kband_core.density import radial_density
from kband_core.phantom import coil_kspace, head_phantom, loop_coils
from kband_core.phantom_samples import coil_samples_at
from kband_core.sampling import Trajectory
from kband_core.trajectories import spokes
from tests.laws import nmse

N = 64


def star(n_spokes: int) -> torch.Tensor:
    """Spokes evenly over half a turn, two samples for each of the grid's."""
    return spokes(math.pi * torch.arange(n_spokes, dtype=torch.float64) / n_spokes, 2 * N).float()


@pytest.mark.parametrize("n_spokes", [20, 29, 40])
def test_spokes_cover_a_disc_that_grows_with_their_number(n_spokes):
    """At radius r they are πr/n apart, and nothing is further from the nearest than half of that (to a sample)."""
    covered = covered_extent(star(n_spokes), (N, N), 32)
    assert abs(covered - 2 * min(2 * GAP * n_spokes / math.pi, 16)) <= 4


def test_no_less_than_maps_need_and_no_more_than_asked_for():
    assert covered_extent(star(4), (N, N), 24) == FEWEST
    assert covered_extent(star(200), (N, N), 24) == 24


def test_nothing_measured_covers_nothing():
    """Shots that keep away from the centre."""
    assert covered_extent(torch.full((2, 8, 2), 0.45), (N, N), 24) == FEWEST


def test_bareness_falls_as_shots_move_into_gaps():
    """A spoke that is turned away from its place leaves a gap; against the derivative it turns back."""
    angles = torch.tensor([0.0, 45, 90, 150], requires_grad=True)
    turned = torch.deg2rad(angles)[:, None]
    radius = torch.linspace(-0.5, 0.5, 2 * N)
    coords = torch.stack((turned.sin() * radius, turned.cos() * radius), -1)
    bare = bareness(coords, (N, N), 6)
    bare.backward()
    assert bare > 0
    assert angles.grad[3] > 0
    assert bareness(star(60), (N, N), 16) == 0


def test_shots_far_from_the_centre_are_led_back():
    """A design that has lost it altogether still has a direction to go."""
    coords = star(8)[:, N + N // 2 :].requires_grad_()  # their outer halves, on one side
    bareness(coords, (N, N), 6).backward()
    assert coords.grad.norm() > 0


def test_the_centre_is_that_of_the_object():
    """Formulas of k-space on the grid and along spokes; measured: 3e-5 of the energy, gridding leaves 4e-3."""
    phantom, coils = head_phantom(), loop_coils(4)
    coords = star(48)
    samples = N * coil_samples_at(phantom, coils, coords * N).to(torch.complex64)
    expected = coil_kspace(phantom, coils, (N, N), oversampling=1)[:, 24:40, 24:40].to(torch.complex64)
    found = central_kspace(samples, Trajectory(coords, radial_density(coords)), (N, N), (16, 16))
    assert nmse(found, expected) < 1e-3


def test_a_centre_without_samples_calibrates_nothing():
    """One sentence, where a transform of nothing would end the scan."""
    away = Trajectory(torch.full((2, 8, 2), 0.45), torch.ones(2, 8))
    with pytest.raises(ValueError, match="no sample lies in the 20 × 20 of the centre of k-space; nothing calibrates"):
        central_kspace(torch.ones(3, 2, 8, dtype=torch.complex64), away, (N, N), (16, 16))
