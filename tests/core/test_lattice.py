"""Lattices of lines in (kz, ky), found in the lines themselves."""

import pytest
import torch

from kband_core.lattice import Lattice, fit_lattice, lines_left_out

SHAPE = 33, 40
CASES = [Lattice((2, 2)), Lattice((2, 2), (1, 1), 1), Lattice((1, 3), (0, 2), 1), Lattice((3, 2), (1, 0), 1),
         Lattice((1, 4), (0, 1), 2)]  # fmt: skip


def ellipse(radius=1.0):
    kz, ky = (((torch.arange(n) - n // 2) / (n / 2)).square() for n in SHAPE)
    return kz[:, None] + ky <= radius


def with_centre(lines):
    acquired = lines.clone()
    acquired[12:22, 14:26] = True
    return acquired


@pytest.mark.parametrize("lattice", CASES)
def test_the_shift_is_found_in_the_lines(lattice):
    """Headers do not tell it; a block of calibration lines, most of them off the lattice, must not hide it."""
    found = fit_lattice(with_centre(lattice.mask(SHAPE)), lattice.acceleration)
    assert torch.equal(found.mask(SHAPE), lattice.mask(SHAPE))


@pytest.mark.parametrize("lattice", CASES)
def test_a_lattice_holds_its_share(lattice):
    """One of Ry·Rz lines, to within what does not divide the matrix."""
    along_y, along_z = lattice.acceleration
    assert abs(lattice.mask((48, 48)).float().mean() * along_y * along_z - 1) < 0.01


@pytest.mark.parametrize("lattice", CASES)
@pytest.mark.parametrize("radius", [1.0, 0.92])
def test_corners_outside_an_ellipse_are_left_out(lattice, radius):
    """All lines of the lattice out there, and no other."""
    acquired = with_centre(lattice.mask(SHAPE) & ellipse(radius))
    assert torch.equal(lines_left_out(acquired, lattice), lattice.mask(SHAPE) & ~ellipse(radius))


@pytest.mark.parametrize("lattice", CASES)
def test_a_lost_line_is_not_left_out(lattice):
    """Neither within the ellipse, nor where corners were acquired."""
    inside = (lattice.mask(SHAPE) & ellipse(0.6)).nonzero()[0]
    for came in (lattice.mask(SHAPE) & ellipse(), lattice.mask(SHAPE)):
        came[tuple(inside)] = False
        assert not lines_left_out(came, lattice)[tuple(inside)]


def test_a_scan_that_was_cut_off_lacks_lines():
    """The upper half of the partitions never came: no corner, though two of them are empty."""
    came = Lattice((2, 2)).mask(SHAPE)
    came[20:] = False
    assert not lines_left_out(came, Lattice((2, 2))).any()
