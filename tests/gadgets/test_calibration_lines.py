"""Calibration lines calibrate early, and serve the image only where they may."""

import torch

from gadgets.items import Calibration
from tests.gadgets.streams import N_LINES, emitted_after, images


def embedded(make_acquisition, kspace, **counters):
    """R=2 on even rows, ACS rows 2 to 5: flag 21 on the grid, 20 off it."""
    for row in (0, 2, 3, 4, 5, 6):
        flags = {2: [21], 4: [21], 3: [20], 5: [20]}.get(row, [])
        yield make_acquisition(kspace[:, row], flags=flags, kspace_encode_step_1=row, **counters)


def test_calibration_goes_ahead_when_its_last_line_is_in(scan_of, make_acquisition, kspace):
    """The first line without calibration flag shows that calibration is over: its item leaves before the image."""
    lines = [*embedded(make_acquisition, kspace)]
    first, second = emitted_after(scan_of(acceleration=2), lines)
    assert isinstance(first[1], Calibration)
    assert first[0] == 6
    assert torch.equal(first[1].acs[0], torch.from_numpy(kspace[:, 2:6]))
    assert torch.equal(first[1].acs, second[1].acs[0])
    assert second[1].acs_row == 2
    assert second[1].mask[0, 0, 0, 0].nonzero().flatten().tolist() == [0, 2, 4, 6]
    assert second[1].counts[0, 0, 0] == (4, 4)


def test_embedded_calibration_lines_serve_the_image_too(scan_of, make_acquisition, kspace):
    """planes() fills rows 3 and 5 from the ACS; rows 1 and 7 stay empty."""
    (buffer,) = images(scan_of(acceleration=2), embedded(make_acquisition, kspace))
    planes, mask = buffer.planes()
    assert mask[0, :, 0].nonzero().flatten().tolist() == [0, 2, 3, 4, 5, 6]
    assert torch.equal(planes[0, :, 2:7], torch.from_numpy(kspace[:, 2:7]))


def test_separate_calibration_stays_out_of_the_image(scan_of, make_acquisition, kspace):
    """A calibration scan may have another contrast: its lines calibrate and do nothing else."""
    calibration = [make_acquisition(5 * kspace[:, row], flags=[20], kspace_encode_step_1=row) for row in range(2, 6)]
    imaging = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(1, 8, 2)]
    scan = scan_of(acceleration=2, calibration_mode="separate")
    first, second = emitted_after(scan, [*calibration, *imaging])
    assert (first[0], second[0]) == (5, 8)
    assert torch.equal(first[1].acs[0], torch.from_numpy(5 * kspace[:, 2:6]))
    planes, mask = second[1].planes()
    assert mask[0, :, 0].nonzero().flatten().tolist() == [1, 3, 5, 7]
    assert torch.equal(planes[0, :, 1::2], torch.from_numpy(kspace[:, 1::2]))


def test_unflagged_calibration_is_the_centre(scan_of, make_acquisition, kspace):
    """A fully sampled scan calibrates on its own centre, as soon as those four lines are in."""
    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(N_LINES)]
    first, second = emitted_after(scan_of(), lines, acs_lines=4)
    assert (first[0], second[0]) == (6, 8)
    assert torch.equal(first[1].acs[0], torch.from_numpy(kspace[:, 2:6]))


def test_later_repetitions_borrow_calibration_but_no_lines(scan_of, make_acquisition, kspace):
    """Repetition 1 has no calibration lines: it gets those of repetition 0, which do not enter its k-space."""
    first = embedded(make_acquisition, kspace)
    second = [make_acquisition(kspace[:, row], kspace_encode_step_1=row, repetition=1) for row in (0, 2, 4, 6)]
    _, later = images(scan_of(acceleration=2, repetition=2), [*first, *second])
    assert torch.equal(later.acs[0, 0], torch.from_numpy(kspace[:, 2:6]))
    assert later.planes()[1].sum() == 4
