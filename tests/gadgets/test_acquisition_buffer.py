"""Lines go where their counters say, and leave when they are complete."""

import numpy as np
import pytest
import torch

from gadgets.encoding import Limit
from gadgets.items import ReconBuffer
from tests.gadgets.streams import N_COILS, N_LINES, N_SAMPLES, emitted_after, images, with_encoding


def test_lines_land_by_their_counters_in_any_order(scan_of, make_acquisition, kspace, rng):
    """Copying is exact: the order of arrival must not matter."""
    order = torch.randperm(N_LINES, generator=rng).tolist()
    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in order]
    (buffer,) = images(scan_of(), lines)
    assert torch.equal(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(kspace))
    assert buffer.sampling.mask.all()
    assert str(buffer.counts[0, 0, 0]) == "8 of 8"


def test_centre_line_of_the_limits_stands_at_half_the_matrix(minimal_scan, make_acquisition):
    """Row = step 1 + N/2 − centre, the rule of the MRD limits (106 lines, centre 54, for a matrix of 144)."""
    scan = minimal_scan((6, 144, 1), (60.0, 80.0, 5.0), oversampling=1)
    scan = with_encoding(scan, step1=Limit(0, 105, 54))
    lines = [make_acquisition(np.full((2, 6), 1 + step), kspace_encode_step_1=step) for step in range(106)]
    (buffer,) = images(scan, lines)
    assert buffer.kspace[0, 0, 0, 0, 0, 72, 0] == 55
    assert buffer.sampling.lines().nonzero().flatten().tolist() == list(range(18, 124))
    assert buffer.counts[0, 0, 0] == (106, 106)


def test_interleaved_slices_leave_one_by_one(scan_of, make_acquisition):
    """Slices come line by line, 0 2 1; each leaves with its own last line, not at the end of the scan."""
    lines = [
        make_acquisition(n_samples=N_SAMPLES, kspace_encode_step_1=row, slice=number)
        for row in range(N_LINES)
        for number in (0, 2, 1)
    ]
    left = [(n, item.slice_counters()) for n, item in emitted_after(scan_of(slice=3), lines)
            if isinstance(item, ReconBuffer)]  # fmt: skip
    assert left == [(22, [0]), (23, [2]), (24, [1])]


def test_averages_are_averaged(scan_of, make_acquisition, kspace):
    """The mean of k-space and of three times itself is twice itself, to rounding."""
    lines = [
        make_acquisition(factor * kspace[:, row], kspace_encode_step_1=row, average=average)
        for average, factor in enumerate((1, 3))
        for row in range(N_LINES)
    ]
    (buffer,) = images(scan_of(average=2), lines)
    torch.testing.assert_close(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(2 * kspace))
    assert buffer.counts[0, 0, 0] == (16, 16)


@pytest.mark.parametrize("counter", ["contrast", "phase", "repetition", "set", "slice"])
def test_other_counters_make_images_of_their_own(scan_of, make_acquisition, kspace, counter):
    """Two values of a counter are two images, whatever the counter is."""
    lines = [
        make_acquisition((1 + value) * kspace[:, row], kspace_encode_step_1=row, **{counter: value})
        for row in range(N_LINES)
        for value in (0, 1)
    ]
    first, second = images(scan_of(**{counter: 2}), lines)
    assert torch.equal(second.kspace, 2 * first.kspace)
    assert getattr(second.headers[0, 0, 0].idx, counter) == 1


@pytest.mark.parametrize("flag", [19, 20, 23, 24, 26, 27, 28, 29, 30, 31])
def test_flags_that_are_never_image_data(scan_of, make_acquisition, kspace, flag):
    """A line with such a flag, however wild, does not change one bit of k-space."""
    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(N_LINES)]
    wild = make_acquisition(np.full((N_COILS, N_SAMPLES), 1e9), flags=[flag], kspace_encode_step_1=4)
    (clean,) = images(scan_of(), lines)
    (disturbed,) = images(scan_of(), [*lines[:5], wild, *lines[5:]])
    assert torch.equal(clean.kspace, disturbed.kspace)


def test_last_flag_does_not_send_what_is_not_complete(scan_of, make_acquisition):
    """A scanner that flags every line as last in slice gets one image, after the last line."""
    lines = [make_acquisition(n_samples=N_SAMPLES, flags=[8], kspace_encode_step_1=row) for row in range(N_LINES)]
    left = [n for n, item in emitted_after(scan_of(), lines) if isinstance(item, ReconBuffer)]
    assert left == [N_LINES]


def test_last_flag_hurries_where_lines_cannot_be_counted(scan_of, make_acquisition):
    """Lines off the R-fold grid: the header cannot tell how many come, the flag can."""
    rows = [0, 3, 4, 5, 7]
    lines = [
        make_acquisition(n_samples=N_SAMPLES, flags=[8] if row == 7 else [], kspace_encode_step_1=row, slice=number)
        for number in (0, 1)
        for row in rows
    ]
    left = [(n, item) for n, item in emitted_after(scan_of(acceleration=2, slice=2), lines, acs_lines=4)
            if isinstance(item, ReconBuffer)]  # fmt: skip
    assert [n for n, _ in left] == [10, 10]  # embedded calibration was announced and never came
    scan = scan_of(acceleration=2, slice=2, calibration_mode="other")
    left = [(n, item) for n, item in emitted_after(scan, lines, acs_lines=4) if isinstance(item, ReconBuffer)]
    assert [n for n, _ in left] == [5, 10]
    assert left[0][1].counts[0, 0, 0] == (5, None)


def test_incomplete_repetition_leaves_at_the_end(scan_of, make_acquisition):
    """Lines may come in any order, so only the end of the scan proves that one is missing."""
    lines = [make_acquisition(n_samples=N_SAMPLES, kspace_encode_step_1=row) for row in range(N_LINES - 1)]
    lines += [make_acquisition(n_samples=N_SAMPLES, kspace_encode_step_1=row, repetition=1) for row in range(N_LINES)]
    left = [(n, item.counts[0, 0, 0]) for n, item in emitted_after(scan_of(repetition=2), lines)
            if isinstance(item, ReconBuffer)]  # fmt: skip
    assert left == [(15, (8, 8)), (15, (7, 8))]


def test_an_incomplete_repetition_does_not_wait_for_the_end_of_a_long_scan(scan_of, make_acquisition):
    """Of each of five a line is lost: each leaves when the second repetition after it begins, or at the end."""
    lines = [
        make_acquisition(n_samples=N_SAMPLES, kspace_encode_step_1=row, repetition=repetition)
        for repetition in range(5)
        for row in range(N_LINES - 1)
    ]
    left = [(n, item.counts[0, 0, 0]) for n, item in emitted_after(scan_of(repetition=5), lines)
            if isinstance(item, ReconBuffer)]  # fmt: skip
    assert left == [(n, (7, 8)) for n in (15, 22, 29, 35, 35)]


def test_repetitions_as_the_inner_loop_wait_for_their_lines(scan_of, make_acquisition):
    """Line by line, four repetitions: all begin at once, and none is taken for over."""
    lines = [
        make_acquisition(n_samples=N_SAMPLES, kspace_encode_step_1=row, repetition=repetition)
        for row in range(N_LINES)
        for repetition in range(4)
    ]
    left = [(n, item.counts[0, 0, 0]) for n, item in emitted_after(scan_of(repetition=4), lines)
            if isinstance(item, ReconBuffer)]  # fmt: skip
    assert left == [(n, (8, 8)) for n in (29, 30, 31, 32)]


def test_a_repetition_that_still_receives_lines_is_not_over(scan_of, make_acquisition):
    """Six lines of repetition 0, one of 1, one more of 0, then 2 begins: the last line of 0 still finds its image."""
    order = [*((0, row) for row in range(6)), (1, 0), (0, 6), (2, 0), (0, 7)]
    order += [(repetition, row) for repetition in (1, 2) for row in range(1, N_LINES)]
    lines = [
        make_acquisition(n_samples=N_SAMPLES, kspace_encode_step_1=row, repetition=repetition)
        for repetition, row in order
    ]
    left = [(n, item.counts[0, 0, 0]) for n, item in emitted_after(scan_of(repetition=3), lines)
            if isinstance(item, ReconBuffer)]  # fmt: skip
    assert left == [(n, (8, 8)) for n in (10, 17, 24)]


def test_wide_limits_hold_an_image_for_two_repetitions_at_most(minimal_scan, make_acquisition):
    """Partial Fourier, R=2, six of the eight lines that the limits allow, marked as first and last: complete, but late.

    Segments mark their first and last lines as well: of 16 rows in two segments none is taken for the whole.
    """
    scan = minimal_scan((6, 16, 1), (60.0, 80.0, 5.0), oversampling=1, acceleration=2, calibration_mode="other",
                        repetition=4)  # fmt: skip

    def left(marks, rows):
        lines = [
            make_acquisition(n_samples=6, flags=marks.get(row, []), kspace_encode_step_1=row, repetition=repetition)
            for repetition in range(4)
            for row in rows
        ]
        return [(n, item.counts[0, 0, 0]) for n, item in emitted_after(scan, lines) if isinstance(item, ReconBuffer)]

    assert left({0: [7], 10: [8]}, range(0, 12, 2)) == [(13, (6, 6)), (19, (6, 6)), (24, (6, 6)), (24, (6, 6))]
    segments = {0: [7], 6: [8], 8: [7], 14: [8]}
    assert left(segments, range(0, 16, 2)) == [(n, (8, 8)) for n in (8, 16, 24, 32)]


def test_encodings_may_differ_in_size(minimal_scan, make_acquisition, kspace):
    """A second encoding of half the readout: each line is measured by those of its own."""
    scan = minimal_scan((N_SAMPLES, N_LINES, 1), (60.0, 80.0, 5.0), oversampling=1, n_encodings=2)
    half = (40.0, 80.0, 5.0)
    scan = with_encoding(scan, 1, encoded_matrix=(4, N_LINES, 1), encoded_fov=half, recon_fov=half)
    lines = [
        make_acquisition(kspace[:, row, :size], header={"encoding_space_ref": ref}, kspace_encode_step_1=row)
        for row in range(N_LINES)
        for ref, size in ((0, 6), (1, 4))
    ]
    first, second = images(scan, lines)
    assert torch.equal(first.kspace[0, 0, 0, :, 0], torch.from_numpy(kspace))
    assert torch.equal(second.kspace[0, 0, 0, :, 0], torch.from_numpy(kspace[..., :4]))


def test_next_repetition_sends_what_cannot_be_counted(scan_of, make_acquisition):
    """Irregular lines without flags: repetition 0 leaves when the first line of repetition 1 comes."""
    lines = [
        make_acquisition(n_samples=N_SAMPLES, kspace_encode_step_1=row, repetition=repetition)
        for repetition in (0, 1)
        for row in (0, 3, 4, 5, 7)
    ]
    scan = scan_of(acceleration=2, repetition=2, calibration_mode="other")
    left = [n for n, item in emitted_after(scan, lines, acs_lines=4) if isinstance(item, ReconBuffer)]
    assert left == [6, 10]


def test_partial_echo_marks_the_samples_it_measured(scan_of, make_acquisition, kspace):
    """discard_pre counts zeros that another gadget padded: they are not data."""
    lines = [make_acquisition(kspace[:, row], header={"discard_pre": 2}, kspace_encode_step_1=row) for row in range(8)]
    (buffer,) = images(scan_of(), lines)
    assert buffer.readout == (2, 6)
    assert not buffer.kspace[..., :2].any()
    assert buffer.planes()[1].shape == (1, 8, 6)
    assert not buffer.planes()[1].mask[..., :2].any()


def test_encodings_are_kept_apart(scan_of, make_acquisition, kspace):
    """Two encodings, line by line: two images, each with its own lines."""
    lines = [
        make_acquisition((1 + ref) * kspace[:, row], header={"encoding_space_ref": ref}, kspace_encode_step_1=row)
        for row in range(N_LINES)
        for ref in (0, 1)
    ]
    first, second = images(scan_of(n_encodings=2), lines)
    assert (first.encoding.index, second.encoding.index) == (0, 1)
    assert torch.equal(second.kspace, 2 * first.kspace)


def test_partitions_are_transformed_to_z(minimal_scan, make_acquisition, noise):
    """3-D: kz goes to z by a centred orthonormal inverse DFT, written out here as a matrix."""
    n_kz = 4
    scan = minimal_scan((N_SAMPLES, N_LINES, n_kz), (60.0, 80.0, 20.0), oversampling=1)
    data = noise(N_COILS, n_kz, N_LINES, N_SAMPLES).astype(np.complex64)
    lines = [
        make_acquisition(data[:, kz, ky], kspace_encode_step_1=ky, kspace_encode_step_2=kz)
        for kz in range(n_kz)
        for ky in range(N_LINES)
    ]
    (buffer,) = images(scan, lines, acs_lines=4)
    index = np.arange(n_kz) - n_kz // 2
    dft = np.exp(2j * np.pi * np.outer(index, index) / n_kz) / np.sqrt(n_kz)
    planes, _ = buffer.planes()
    np.testing.assert_allclose(planes.numpy(), np.einsum("zk,ckyx->zcyx", dft, data), atol=1e-5)
    assert buffer.acs.shape == (1, n_kz, N_COILS, 4, N_SAMPLES)


def test_averages_that_no_header_announces_are_averaged(scan_of, make_acquisition, kspace):
    """Each line comes twice in a row, numbered 0 and 3: the image waits for the second of the last one."""
    lines = [
        make_acquisition((1 + 2 * n) * kspace[:, row], kspace_encode_step_1=row, average=3 * n)
        for row in range(N_LINES) for n in (0, 1)
    ]  # fmt: skip
    (buffer,) = images(scan_of(), lines)
    torch.testing.assert_close(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(2 * kspace))
    assert buffer.counts[0, 0, 0] == (2 * N_LINES, 2 * N_LINES)
