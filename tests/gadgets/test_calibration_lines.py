"""Calibration lines calibrate early, and serve the image only where they may."""

from dataclasses import replace

import pytest
import torch

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.items import Calibration, ReconBuffer
from gadgets.receiving.buffer_intake import BufferIntake
from gadgets.stock import AcquisitionAccumulateTrigger, BucketToBuffer
from tests.gadgets.heads import N, reconstruct
from tests.gadgets.streams import N_LINES, buffer_of, emitted_after, images, with_encoding


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
    assert second[1].sampling.lines().nonzero().flatten().tolist() == [0, 2, 4, 6]
    assert second[1].counts[0, 0, 0] == (4, 4)


def test_embedded_calibration_lines_serve_the_image_too(scan_of, make_acquisition, kspace):
    """planes() fills rows 3 and 5 from the ACS; rows 1 and 7 stay empty."""
    (buffer,) = images(scan_of(acceleration=2), embedded(make_acquisition, kspace))
    planes, sampling = buffer.planes()
    assert sampling.mask[0, :, 0].nonzero().flatten().tolist() == [0, 2, 3, 4, 5, 6]
    assert torch.equal(planes[0, :, 2:7], torch.from_numpy(kspace[:, 2:7]))


def test_separate_calibration_stays_out_of_the_image(scan_of, make_acquisition, kspace):
    """A calibration scan may have another contrast: its lines calibrate and do nothing else."""
    calibration = [make_acquisition(5 * kspace[:, row], flags=[20], kspace_encode_step_1=row) for row in range(2, 6)]
    imaging = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(1, 8, 2)]
    scan = scan_of(acceleration=2, calibration_mode="separate")
    first, second = emitted_after(scan, [*calibration, *imaging])
    assert (first[0], second[0]) == (5, 8)
    assert torch.equal(first[1].acs[0], torch.from_numpy(5 * kspace[:, 2:6]))
    planes, sampling = second[1].planes()
    assert sampling.mask[0, :, 0].nonzero().flatten().tolist() == [1, 3, 5, 7]
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
    assert later.planes()[1].mask.sum() == 4


def test_each_fully_sampled_repetition_calibrates_itself(scan_of, make_acquisition, kspace):
    """The patient may have moved: the maps of repetition 0 do not hold for 1. Each goes ahead of its own image."""
    lines = [
        make_acquisition((1 + repetition) * kspace[:, row], kspace_encode_step_1=row, repetition=repetition)
        for repetition in (0, 1)
        for row in range(N_LINES)
    ]
    emitted = emitted_after(scan_of(repetition=2), lines, acs_lines=4)
    assert [(n, type(item)) for n, item in emitted] == [
        (6, Calibration), (8, ReconBuffer), (14, Calibration), (16, ReconBuffer),
    ]  # fmt: skip
    for factor, (_, item) in zip((1, 1, 2, 2), emitted, strict=True):
        acs = item.acs if isinstance(item, Calibration) else item.acs[0]
        assert torch.equal(acs[0], torch.from_numpy(factor * kspace[:, 2:6]))


def test_interleaved_contrasts_send_one_calibration_ahead(scan_of, make_acquisition, kspace):
    """Line by line, two contrasts of one slice: a second item would oust the first before its image has used it."""
    lines = [
        make_acquisition((1 + contrast) * kspace[:, row], kspace_encode_step_1=row, contrast=contrast)
        for row in range(N_LINES)
        for contrast in (0, 1)
    ]
    ahead, first, second = (item for _, item in emitted_after(scan_of(contrast=2), lines, acs_lines=4))
    assert torch.equal(ahead.acs, first.acs[0])
    assert torch.equal(second.acs, 2 * first.acs)


def test_an_image_whose_last_line_calibrates_leaves_with_the_next(scan_of, make_acquisition, kspace):
    """Partial Fourier without the last rows: only the next repetition shows that calibration is over."""
    flags_of = {2: [21], 3: [20], 4: [21]}
    lines = [
        make_acquisition(kspace[:, row], flags=flags_of.get(row, []), kspace_encode_step_1=row, repetition=repetition)
        for repetition in range(3)
        for row in (0, 2, 3, 4)
    ]
    scan = scan_of(acceleration=2, repetition=3)
    scan = with_encoding(scan, step1=replace(scan.encodings[0].step1, maximum=4))
    left = [(n, type(item)) for n, item in emitted_after(scan, lines)]
    assert left == [
        (5, Calibration), (5, ReconBuffer), (9, Calibration), (9, ReconBuffer), (12, ReconBuffer),
    ]  # fmt: skip


def test_calibration_ends_where_that_of_the_next_image_begins(scan_of, make_acquisition, kspace):
    """Every line calibrates: repetition 1 begins with a flagged line, which lets calibration and image 0 go."""
    lines = [
        make_acquisition(kspace[:, row], flags=[21], kspace_encode_step_1=row, repetition=repetition)
        for repetition in range(2)
        for row in range(N_LINES)
    ]
    left = [(n, type(item)) for n, item in emitted_after(scan_of(repetition=2), lines)]
    assert left == [(9, Calibration), (9, ReconBuffer), (16, ReconBuffer)]


def test_each_repetition_waits_for_a_centre_behind_its_grid(scan_of, make_acquisition, kspace):
    """Unflagged, after the grid, in the first repetition: so it will be in the next, which must not leave before."""
    lines = [
        make_acquisition(kspace[:, row], kspace_encode_step_1=row, repetition=repetition)
        for repetition in range(3)
        for row in (0, 2, 4, 6, 3, 5)
    ]
    left = [(n, item) for n, item in emitted_after(scan_of(acceleration=2, repetition=3), lines, acs_lines=4)
            if isinstance(item, ReconBuffer)]  # fmt: skip
    assert [n for n, _ in left] == [7, 13, 18]
    assert all(item.sampling.mask.sum() == 6 for _, item in left)


def test_images_wait_for_a_reference_that_comes_last(scan_of, make_acquisition, kspace):
    """Four complete repetitions lack nothing but calibration: none of them is over when the next ones begin."""
    imaging = [
        make_acquisition(kspace[:, row], kspace_encode_step_1=row, repetition=n)
        for n in range(4)
        for row in (0, 2, 4, 6)
    ]
    reference = [make_acquisition(kspace[:, row], flags=[20], kspace_encode_step_1=row) for row in range(2, 6)]
    scan = scan_of(acceleration=2, repetition=4, calibration_mode="separate")
    buffers = images(scan, [*imaging, *reference], acs_lines=4)
    assert len(buffers) == 4
    assert all(torch.equal(one.acs[0, 0], torch.from_numpy(kspace[:, 2:6])) for one in buffers)


def test_contrasts_as_the_inner_loop_calibrate_once(scan_of, make_acquisition, kspace):
    """Line by line, two contrasts with flagged lines: calibration is over when the last flagged line is in."""
    lines = [
        line
        for pair in zip(*(embedded(make_acquisition, kspace, contrast=contrast) for contrast in (0, 1)), strict=True)
        for line in pair
    ]
    emitted = emitted_after(scan_of(acceleration=2, contrast=2), lines)
    assert [type(item) for _, item in emitted] == [Calibration, ReconBuffer, ReconBuffer]
    assert emitted[0][1].acs.shape[-2] == 4


def test_repetition_without_a_centre_takes_that_of_the_one_before(scan_of, make_acquisition, kspace):
    """Unflagged centre in repetition 0 alone, as keyhole scans have it: no image waits for a centre of its own."""
    rows = [(0, row) for row in (0, 2, 3, 4, 5, 6)] + [(1, row) for row in (0, 2, 4, 6)]
    lines = [
        make_acquisition(
            kspace[:, row], flags=[8] if row == 6 else [], kspace_encode_step_1=row, repetition=repetition
        )
        for repetition, row in rows
    ]  # embedded calibration was announced, and came without flags
    left = [(n, item) for n, item in emitted_after(scan_of(acceleration=2, repetition=2), lines, acs_lines=4)
            if isinstance(item, ReconBuffer)]  # fmt: skip
    assert [n for n, _ in left] == [6, 10]
    assert torch.equal(left[1][1].acs[0, 0], torch.from_numpy(kspace[:, 2:6]))


@pytest.mark.parametrize("acceleration", [1, 2])
def test_direct_and_buffered_chains_use_the_same_maps(head_scan, lines_of, head, acceleration):
    """Two repetitions whose coils differ, fully sampled or with an unflagged centre: equal ACS, so equal maps."""
    turned = head[::-1].copy()  # coil by coil the patient sees another one
    lines = [
        line
        for repetition, kspace in enumerate((head, turned))
        for line in lines_of(kspace=kspace, repetition=repetition)
        if (row := line.idx.kspace_encode_step_1) % acceleration == 0 or abs(row - N // 2) <= 12
    ]
    scan = head_scan(acceleration=acceleration, calibration_mode="other", repetition=2)
    maps_of = CoilSensitivities().process
    direct = [item for item in maps_of(buffer_of(scan).process(lines)) if isinstance(item, ReconBuffer)]
    trigger = AcquisitionAccumulateTrigger(trigger_dimension="repetition", sorting_dimension="slice")
    buffered = reconstruct(scan, lines, trigger, BucketToBuffer(N_dimension="average"), BufferIntake(device="cpu"),
                           CoilSensitivities())  # fmt: skip
    buffered = [item for item in buffered if isinstance(item, ReconBuffer)]
    for one, other in zip(direct, buffered, strict=True):
        assert torch.equal(one.kspace, other.kspace)
        assert torch.equal(one.csm, other.csm)
    assert not torch.equal(direct[0].csm, direct[1].csm)
