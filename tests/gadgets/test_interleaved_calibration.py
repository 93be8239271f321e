"""Repetitions on grids that shift from one to the next calibrate one another."""

import pytest
import torch

from gadgets.errors import ScanError
from gadgets.items import Aside, Calibration, ReconBuffer
from tests.gadgets.streams import N_LINES, buffer_of, emitted_after, images
from tests.gadgets.test_calibration_lines import embedded


@pytest.mark.parametrize("flags", [[], [21]])
def test_repetitions_on_shifted_grids_calibrate_one_another(scan_of, make_acquisition, kspace, flags):
    """R=2: the first waits for the second; from then on each goes ahead with its own and the one before."""
    lines = [
        make_acquisition((1 + n) * kspace[:, row], flags=flags, kspace_encode_step_1=row, repetition=n)
        for n in range(3)
        for row in range(n % 2, N_LINES, 2)
    ]
    scan = scan_of(acceleration=2, repetition=3, calibration_mode="interleaved")
    emitted = emitted_after(scan, lines, acs_lines=4)
    assert [(n, type(item)) for n, item in emitted] == [
        (8, Calibration), (8, ReconBuffer), (8, ReconBuffer), (12, Calibration), (12, ReconBuffer),
    ]  # fmt: skip
    factor = torch.tensor([1, 2, 1, 2])[:, None]  # rows 2 to 5: of repetition 0, 1, 0, 1
    assert torch.equal(emitted[0][1].acs[0], factor * torch.from_numpy(kspace[:, 2:6]))
    last = emitted[4][1]
    assert torch.equal(last.acs[0, 0], torch.tensor([3, 2, 3, 2])[:, None] * torch.from_numpy(kspace[:, 2:6]))
    assert last.planes()[1].mask.sum() == 4


def shifted(make_acquisition, kspace, acceleration, n_repetitions, lost=()):
    """Repetitions on grids that shift by a line; without `lost` (repetition, row)."""
    return [
        make_acquisition(kspace[:, row], kspace_encode_step_1=row, repetition=n)
        for n in range(n_repetitions)
        for row in range(n % acceleration, N_LINES, acceleration)
        if (n, row) not in lost
    ]


@pytest.mark.parametrize("acceleration", [3, 4])
def test_the_first_of_several_shifted_grids_wait(scan_of, make_acquisition, kspace, acceleration):
    """R repetitions are there before the first leaves, and none is taken for over meanwhile."""
    scan = scan_of(acceleration=acceleration, repetition=6, calibration_mode="interleaved")
    lines = shifted(make_acquisition, kspace, acceleration, 6)
    emitted = emitted_after(scan, lines, acs_lines=4)
    kinds = [type(item) for _, item in emitted]
    assert kinds == [Calibration, *[ReconBuffer] * acceleration, *[Calibration, ReconBuffer] * (6 - acceleration)]
    assert all(torch.equal(item.acs[0, 0], torch.from_numpy(kspace[:, 2:6]))
               for _, item in emitted if isinstance(item, ReconBuffer))  # fmt: skip


def test_a_lost_line_does_not_spoil_the_calibration_of_the_next(scan_of, make_acquisition, kspace):
    """Central row 4 of repetition 2 is lost: until there are two whole grids again the calibration before it holds."""
    scan = scan_of(acceleration=2, repetition=6, calibration_mode="interleaved")
    lines = shifted(make_acquisition, kspace, 2, 6, lost={(2, 4)})
    buffers = images(scan, lines, acs_lines=4)
    assert len(buffers) == 6
    assert all(torch.equal(one.acs[0, 0], torch.from_numpy(kspace[:, 2:6])) for one in buffers)
    assert sorted(str(one.counts[0, 0, 0]) for one in buffers) == ["3 of 4", *["4 of 4"] * 5]


def test_interleaved_scans_may_bring_calibration_lines_all_the_same(scan_of, make_acquisition, kspace):
    """The grid stands still, and repetition 0 has lines off it: they calibrate all three."""
    first = embedded(make_acquisition, kspace)
    others = [
        make_acquisition(kspace[:, row], kspace_encode_step_1=row, repetition=n) for n in (1, 2) for row in (0, 2, 4, 6)
    ]
    scan = scan_of(acceleration=2, repetition=3, calibration_mode="interleaved")
    buffers = images(scan, [*first, *others], acs_lines=4)
    assert len(buffers) == 3
    assert all(one.acs.shape[-2] >= 3 for one in buffers)


def test_a_grid_that_stands_still_is_not_waited_for_for_ever(scan_of, make_acquisition, kspace):
    """Announced as shifting, R=2: after four repetitions it is clear that no calibration will come."""
    lines = [
        make_acquisition(kspace[:, row], kspace_encode_step_1=row, repetition=n)
        for n in range(6)
        for row in (0, 2, 4, 6)
    ]
    scan = scan_of(acceleration=2, repetition=6, calibration_mode="interleaved")
    left = [n for n, item in emitted_after(scan, lines, acs_lines=4) if isinstance(item, ReconBuffer)]
    assert left == [16, 16, 16, 16, 24, 24]


def test_a_line_that_comes_twice_does_not_stand_for_another_grid(scan_of, make_acquisition, kspace):
    """Repetition 0 is complete and waits for the other grid, however often its last line comes."""
    rows = [(0, row) for row in (0, 2, 4, 6, 6)] + [(1, row) for row in (1, 3, 5, 7)]
    lines = [
        make_acquisition(kspace[:, row], kspace_encode_step_1=row, repetition=repetition) for repetition, row in rows
    ]
    scan = scan_of(acceleration=2, repetition=2, calibration_mode="interleaved")
    emitted = []
    with pytest.raises(ScanError, match="1 line set aside: it came before"):
        emitted.extend(buffer_of(scan, acs_lines=4).process(lines))
    assert [type(item) for item in emitted] == [Aside, Calibration, ReconBuffer, ReconBuffer]
    assert torch.equal(emitted[1].acs[0], torch.from_numpy(kspace[:, 2:6]))


def test_a_stray_line_costs_its_repetition_the_others_not(scan_of, make_acquisition, kspace):
    """Off its grid, after the grid is complete: repetition 0 can no longer be counted, leaves early, and once."""
    rows = [(0, row) for row in (0, 2, 4, 6, 3)] + [(1, row) for row in (1, 3, 5, 7)]
    lines = [
        make_acquisition(kspace[:, row], kspace_encode_step_1=row, repetition=repetition) for repetition, row in rows
    ]
    scan = scan_of(acceleration=2, repetition=2, calibration_mode="interleaved")
    left = [n for n, item in emitted_after(scan, lines, acs_lines=4) if isinstance(item, ReconBuffer)]
    assert left == [6, 9]
