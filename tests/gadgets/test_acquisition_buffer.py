"""Lines go where their counters say, leave when they are complete, and what is wrong is said."""

import numpy as np
import pytest
import torch

from gadgets.acquisition_buffer import AcquisitionBuffer
from gadgets.errors import PipelineError, ScanError
from gadgets.items import Calibration, ReconBuffer

N_COILS, N_LINES, N_SAMPLES = 3, 8, 6


@pytest.fixture
def scan_of(minimal_scan):
    """Scan of an 8 × 6 matrix without readout oversampling."""
    return lambda **kwargs: minimal_scan((N_SAMPLES, N_LINES, 1), (60.0, 80.0, 5.0), oversampling=1, **kwargs)


@pytest.fixture
def kspace(noise):
    return noise(N_COILS, N_LINES, N_SAMPLES).astype(np.complex64)


def buffer_of(scan, **properties) -> AcquisitionBuffer:
    gadget = AcquisitionBuffer(device="cpu", **properties)
    gadget.open(scan)
    return gadget


def images(scan, lines, **properties) -> list[ReconBuffer]:
    return [item for item in buffer_of(scan, **properties).process(lines) if isinstance(item, ReconBuffer)]


def emitted_after(scan, lines, **properties) -> list[tuple[int, object]]:
    """What leaves, each with the number of lines that had been read by then."""
    n_read = 0

    def counted():
        nonlocal n_read
        for line in lines:
            n_read += 1
            yield line

    return [(n_read, item) for item in buffer_of(scan, **properties).process(counted())]


def test_lines_land_by_their_counters_in_any_order(scan_of, make_acquisition, kspace, rng):
    """Copying is exact: the order of arrival must not matter."""
    order = torch.randperm(N_LINES, generator=rng).tolist()
    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in order]
    (buffer,) = images(scan_of(), lines)
    assert torch.equal(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(kspace))
    assert buffer.mask.all()
    assert str(buffer.counts[0, 0, 0]) == "8 of 8"


def test_centre_line_of_the_limits_stands_at_half_the_matrix(minimal_scan, make_acquisition):
    """Row = step 1 + N/2 − centre, the rule of the MRD limits (106 lines, centre 54, for a matrix of 144)."""
    scan = minimal_scan((6, 144, 1), (60.0, 80.0, 5.0), oversampling=1)
    limit = type(scan.encodings[0].step1)(0, 105, 54)
    object.__setattr__(scan.encodings[0], "step1", limit)
    lines = [make_acquisition(np.full((2, 6), 1 + step), kspace_encode_step_1=step) for step in range(106)]
    (buffer,) = images(scan, lines)
    assert buffer.kspace[0, 0, 0, 0, 0, 72, 0] == 55
    assert buffer.mask[0, 0, 0, 0].nonzero().flatten().tolist() == list(range(18, 124))
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


def embedded(make_acquisition, kspace, **counters):
    """R=2 on even rows, ACS rows 2 to 5: flag 21 on the grid, 20 off it."""
    for row in (0, 2, 3, 4, 5, 6):
        flags = {2: [21], 4: [21], 3: [20], 5: [20]}.get(row, [])
        yield make_acquisition(kspace[:, row], flags=flags, kspace_encode_step_1=row, **counters)


def test_calibration_goes_ahead_when_its_last_line_is_in(scan_of, make_acquisition, kspace):
    """The first line without calibration flag shows that calibration is over: item after line 6 of 6, before the image."""
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


def test_incomplete_repetition_leaves_at_the_end(scan_of, make_acquisition):
    """Lines may come in any order, so only the end of the scan proves that one is missing."""
    lines = [make_acquisition(n_samples=N_SAMPLES, kspace_encode_step_1=row) for row in range(N_LINES - 1)]
    lines += [make_acquisition(n_samples=N_SAMPLES, kspace_encode_step_1=row, repetition=1) for row in range(N_LINES)]
    left = [(n, item.counts[0, 0, 0]) for n, item in emitted_after(scan_of(repetition=2), lines)
            if isinstance(item, ReconBuffer)]  # fmt: skip
    assert left == [(15, (8, 8)), (15, (7, 8))]


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
    assert not buffer.planes()[1][..., :2].any()


def with_nan(data):
    data = data.copy()
    data[0, 1] = np.nan
    return data


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda make, k: make(with_nan(k[:, 7]), kspace_encode_step_1=7), "1 samples are not finite numbers"),
        (lambda make, k: make(k[:2, 7], kspace_encode_step_1=7), "it has 2 coils, the lines before have 3"),
        (lambda make, k: make(k[:, 7, :4], kspace_encode_step_1=7), "it has 4 samples, the lines before have 6"),
        (
            lambda make, k: make(k[:, 7], kspace_encode_step_1=8),
            "encoding step 1 is 8, outside the header's limits 0 to 7",
        ),
        (
            lambda make, k: make(k[:, 7], kspace_encode_step_1=7, flags=[22]),
            "it was read in reverse (flag 22), which only an EPI reconstruction can use",
        ),
        (
            lambda make, k: make(k[:, 7], kspace_encode_step_1=7, header={"encoding_space_ref": 3}),
            "a line names encoding 3, the header has 1",
        ),
        (
            lambda make, k: make(k[:, 7], kspace_encode_step_1=7, header={"center_sample": 0}),
            "centre sample is 0 of 6, 3 expected",
        ),
    ],
)
def test_unusable_line_is_set_aside_and_said(scan_of, make_acquisition, kspace, spoil, reason):
    """One bad line costs one line: the image comes, counts 7 of 8, and the scan ends with the reason."""
    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(7)]
    stream = buffer_of(scan_of()).process([*lines, spoil(make_acquisition, kspace)])
    received = []
    with pytest.raises(ScanError) as error:
        for item in stream:
            received.append(item)  # noqa: PERF402 - what came before the error counts
    (buffer,) = [item for item in received if isinstance(item, ReconBuffer)]
    assert buffer.counts[0, 0, 0] == (7, 8)
    assert str(error.value) == f"AcquisitionBuffer: 1 line set aside: {reason}"


def test_line_after_its_image_is_said(scan_of, make_acquisition):
    """A repeated line after the image has left cannot be used, and nobody must think it was."""
    lines = [make_acquisition(n_samples=N_SAMPLES, kspace_encode_step_1=row) for row in [*range(N_LINES), 3]]
    with pytest.raises(ScanError, match="1 line set aside: it came after its image had left"):
        images(scan_of(), lines)


def test_slice_that_never_came_is_an_error(scan_of, make_acquisition):
    """The header announces three slices, two come."""
    lines = [
        make_acquisition(n_samples=N_SAMPLES, kspace_encode_step_1=row, slice=number)
        for number in (0, 2)
        for row in range(N_LINES)
    ]
    with pytest.raises(ScanError) as error:
        images(scan_of(slice=3), lines)
    expected = "AcquisitionBuffer: 2 of 3 images received lines; the first without any is slice 1"
    assert str(error.value) == expected


def test_no_imaging_line_is_an_error(scan_of, make_acquisition):
    """A scan of noise lines alone has no image."""
    with pytest.raises(ScanError, match="no imaging lines arrived"):
        images(scan_of(), [make_acquisition(n_samples=N_SAMPLES, flags=[19])])


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


@pytest.mark.parametrize("trajectory", ["epi", "radial", "spiral"])
def test_other_trajectories_are_refused_before_the_scan(minimal_scan, trajectory):
    """What cannot be reconstructed is refused at open, by name."""
    scan = minimal_scan()
    object.__setattr__(scan.encodings[0], "trajectory", trajectory)
    with pytest.raises(PipelineError) as error:
        AcquisitionBuffer().open(scan)
    assert str(error.value) == (
        f"AcquisitionBuffer: encoding 0 has a {trajectory} trajectory; only cartesian is supported"
    )
