"""What a grid says of itself, be it of lines or of samples; and what is no grid and no trajectory."""

from dataclasses import dataclass

import pytest
import torch

from kband_core.sampling import Grid, Trajectory, corners_left_out

ROWS, COLUMNS = torch.arange(40)[:, None], torch.arange(30)
DISC = ((ROWS - 20) / 20) ** 2 + ((COLUMNS - 15) / 15) ** 2 < 1


@dataclass(frozen=True)
class Case:
    """A mask, and what is true of it."""

    mask: torch.Tensor
    n_lines: int
    is_by_lines: bool
    has_partial_echo: bool
    acceleration: float


CASES = {
    "all": Case(ROWS >= 0, 40, True, False, 1),
    "R=2": Case(ROWS % 2 == 0, 20, True, False, 2),
    "R=2, every sample told": Case((ROWS % 2 == 0) & (COLUMNS >= 0), 20, True, False, 2),
    "R=2, partial echo": Case((ROWS % 2 == 0) & (COLUMNS >= 6), 20, True, True, 2),
    "disc": Case(DISC, 39, False, True, 1200 / 923),
    "chess board": Case((ROWS + COLUMNS) % 2 == 0, 40, False, False, 2),
    "two planes, R=2 and R=4": Case(torch.stack([ROWS % 2 == 0, ROWS % 4 == 1]), 30, True, False, 80 / 30),
}


@pytest.mark.parametrize("name", CASES)
def test_questions_have_one_answer(name):
    """By hand: lines of any plane, whether they are alike, what of the readout is there, all over acquired."""
    case, grid = CASES[name], Grid(CASES[name].mask)
    assert int(grid.lines().sum()) == case.n_lines
    assert grid.lines().shape == (40,)
    assert grid.is_by_lines() == case.is_by_lines
    assert grid.has_partial_echo() == case.has_partial_echo
    assert grid.acceleration() == pytest.approx(case.acceleration)
    assert grid.is_complete() == (name == "all")


def test_central_lines_are_those_around_the_centre():
    """20 is the centre of 40 lines: 3 below and 5 from it on; of a block of 6, 3 and 3."""
    grid = Grid((ROWS >= 17) & (ROWS < 25))
    assert grid.central_lines() == 8
    assert grid.central_lines(most=6) == 6
    assert Grid(ROWS != 20).central_lines(most=40) == 20
    assert Grid(ROWS > 20).central_lines() == 0
    assert Grid(((ROWS >= 17) & (ROWS < 25) & (COLUMNS > 3))[None]).central_lines() == 8


CENTRE = (ROWS >= 14) & (ROWS < 26)


@pytest.mark.parametrize(("mask", "spacing"), [
    ((ROWS % 4 == 1) | CENTRE, 4),
    ((ROWS % 6 == 5) | CENTRE, 6),
    (((ROWS % 4 == 1) & (ROWS != 5)) | CENTRE, 4),
    ((ROWS % 3 == 1) & (COLUMNS > 5), 3),
    (torch.isin(ROWS, torch.tensor([1, 4, 6, 11, 28, 31, 37])) | CENTRE, None),
    (ROWS >= 0, None),
    (CENTRE, None),
])  # fmt: skip
def test_lines_outside_the_centre_tell_the_spacing(mask, spacing):
    """Calibration lines, a line that was lost and a partial echo do not change it; random lines have none."""
    assert Grid(mask).spacing() == spacing


@pytest.mark.parametrize(("mask", "acceleration", "ends"), [
    (ROWS % 3 == 1, 3, (1, 37)),
    ((ROWS % 3 == 1) & (ROWS > 8), 3, (10, 37)),
    ((ROWS % 3 == 1) | ((ROWS > 15) & (ROWS < 24)), 3, (1, 37)),
    ((ROWS % 4 == 2) & (COLUMNS > 5), 4, (2, 38)),
])  # fmt: skip
def test_the_uniform_grid_has_ends(mask, acceleration, ends):
    """First and last line; calibration lines beside it, missing ones before and partial echoes do not matter."""
    assert Grid(mask).uniform_ends("test", acceleration) == ends


@pytest.mark.parametrize(("mask", "sentence"), [
    ((ROWS % 3 == 1) & (ROWS != 7), r"^test: line 7 of the R=3 grid is missing \(1 of 13\)$"),
    (ROWS < 0, "^test: none of the 40 lines is acquired$"),
])  # fmt: skip
def test_a_grid_with_holes_has_none(mask, sentence):
    """A line that the scanner lost must not be replaced by a guess at another acceleration."""
    with pytest.raises(ValueError, match=sentence):
        Grid(mask).uniform_ends("test", 3)


def test_a_grid_of_partitions_tells_its_lines():
    """[kz ky 1]: undersampled along both, it is no grid of whole lines that all partitions share."""
    grid = Grid((torch.arange(4)[:, None, None] + ROWS) % 2 == 0)
    assert grid.shape == (4, 40, 1)
    assert grid.lines().all()
    assert grid.acceleration() == 2


def test_what_lies_within_a_part():
    """Both must hold; a part of lines and a part of samples alike."""
    lines = Grid(ROWS % 2 == 0)
    assert torch.equal(lines.within(DISC).mask, DISC & (ROWS % 2 == 0))
    assert lines.within(ROWS < 10).mask.sum() == 5


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: Grid(torch.ones(40, dtype=torch.bool)), r"Grid: the mask is torch.bool of shape \(40,\), bool of"),
    (lambda: Grid(torch.ones(40, 1)), r"Grid: the mask is torch.float32 of shape \(40, 1\), bool of"),
    (lambda: Trajectory(torch.zeros(5, 8, 4)), r"Trajectory: the coordinates are torch.float32 of shape \(5, 8, 4\)"),
    (lambda: Trajectory(torch.zeros(5, 8, 2).double()), "Trajectory: the coordinates are torch.float64 of shape"),
    (lambda: Trajectory(torch.full((5, 8, 2), 0.6)), "Trajectory: 80 coordinates are not within -0.5 to 0.5"),
    (lambda: Trajectory(torch.full((1, 1, 2), torch.nan)), "Trajectory: 2 coordinates are not within -0.5 to 0.5"),
    (lambda: Trajectory(torch.zeros(5, 8, 2), torch.ones(5, 7)), r"of shape \(5, 7\), float32 of \(5, 8\) expected"),
])  # fmt: skip
def test_what_is_no_sampling_is_refused(make, sentence):
    """In one sentence that names what came and what is expected."""
    with pytest.raises(ValueError, match=sentence):
        make()


def test_leading_axes_are_batch():
    """A part of them is the sampling of a part of the images, density included."""
    grid = Grid((torch.arange(3)[:, None, None] + ROWS) % 3 == 0)
    assert torch.equal(grid[1:2].mask, grid.mask[1:2])
    spokes = Trajectory(torch.linspace(-0.5, 0.5, 48).reshape(3, 2, 4, 2), torch.arange(24.0).reshape(3, 2, 4))
    assert spokes[1:2].shape == (1, 2, 4)
    assert torch.equal(spokes[1:2].density, spokes.density[1:2])


@pytest.mark.parametrize("ends", ["by the centre", "symmetric"])
def test_corners_of_either_ellipse_are_left_out(ends):
    """Scanners count the radius from the central line, or from the middle between the first and the last."""
    kz, ky = ((torch.arange(n) - (n // 2 if ends == "by the centre" else (n - 1) / 2)) / (n / 2) for n in (16, 24))
    inside = kz[:, None] ** 2 + ky**2 <= 1
    assert torch.equal(corners_left_out(inside), ~inside)


@pytest.mark.parametrize("n_lines", [100, 300, 380])
def test_a_box_that_was_cut_off_has_no_corners(n_lines):
    """Its first corners came."""
    acquired = torch.arange(16 * 24).view(16, 24) < n_lines
    assert not corners_left_out(acquired).any()


def test_a_plane_has_no_corners():
    """Partial Fourier leaves out lines at one end of it, and that is for the header to tell."""
    assert not corners_left_out(torch.arange(24)[None] > 6).any()
