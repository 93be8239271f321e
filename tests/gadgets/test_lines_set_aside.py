"""A line that cannot be used costs that line, and is said."""

import numpy as np
import pytest

from gadgets.errors import PipelineError, ScanError
from gadgets.items import Aside, ReconBuffer
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from tests.gadgets.streams import N_LINES, N_SAMPLES, buffer_of, images, with_encoding


def with_nan(data):
    data = data.copy()
    data[0, 1] = np.nan
    return data


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda make, k: make(with_nan(k[:, 7]), kspace_encode_step_1=7), "1 of 18 samples are not finite numbers"),
        (lambda make, k: make(k[:2, 7], kspace_encode_step_1=7), "it has 2 coils, other lines have 3"),
        (lambda make, k: make(k[:, 7, :4], kspace_encode_step_1=7), "it has 4 samples, the lines before have 6"),
        (
            lambda make, k: make(k[:, 7], kspace_encode_step_1=8),
            "encoding step 1 is 8, outside the header's limits 0 to 7",
        ),
        (
            lambda make, k: make(k[:, 7], kspace_encode_step_1=7, flags=[22]),
            "it was read the other way round than lines of its image before, which only EPI can use",
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
        received.extend(stream)  # what came before the error stays
    (buffer,) = [item for item in received if isinstance(item, ReconBuffer)]
    assert buffer.counts[0, 0, 0] == (7, 8)
    assert str(error.value) == f"AcquisitionBuffer: 1 line set aside: {reason}"


def test_the_first_line_set_aside_for_a_reason_is_said_at_once(scan_of, make_acquisition, kspace):
    """While the scan can still be repeated; a broken coil that spoils thousands of lines is said once."""
    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(3)]
    broken = [make_acquisition(with_nan(kspace[:, row]), kspace_encode_step_1=row) for row in range(3, 6)]
    stream = buffer_of(scan_of()).process([*lines, *broken, make_acquisition(kspace[:2, 6], kspace_encode_step_1=6)])
    received = []
    with pytest.raises(ScanError):
        received.extend(stream)
    assert [item.sentence for item in received if isinstance(item, Aside)] == [
        "AcquisitionBuffer: line 3 (slice 0) set aside: 1 of 18 samples are not finite numbers",
        "AcquisitionBuffer: line 6 (slice 0) set aside: it has 2 coils, other lines have 3",
    ]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda make, k: make(k[:, 0, :4], kspace_encode_step_1=0), "4 samples, 6 expected"),
        (lambda make, k: make(with_nan(k[:, 0]), kspace_encode_step_1=0), "1 of 18 samples are not finite numbers"),
        (lambda make, k: make(k[:0, 0], kspace_encode_step_1=0), "it has 0 coils and 6 samples, at least 1 expected"),
    ],
)
def test_a_bad_first_line_costs_itself_alone(scan_of, make_acquisition, kspace, spoil, reason):
    """The lines behind it are measured by the first good one; and the image says that one was set aside."""
    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(1, N_LINES)]
    stream = buffer_of(scan_of()).process([spoil(make_acquisition, kspace), *lines])
    received = []
    with pytest.raises(ScanError, match=f"1 line set aside: {reason}"):
        received.extend(stream)
    (buffer,) = [item for item in received if isinstance(item, ReconBuffer)]
    assert buffer.counts[0, 0, 0] == (7, 8)
    assert [problem.partition(reason)[0] for problem in buffer.problems] == ["1 line set aside: "]


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


def test_simultaneous_slices_are_refused_before_the_scan(minimal_scan):
    """Two slices in one line cannot be told apart by 2-D methods."""
    scan = with_encoding(minimal_scan(), multiband=2)
    with pytest.raises(PipelineError, match="excites 2 slices at once, which only multiband_sense tells apart"):
        AcquisitionBuffer().open(scan)


@pytest.mark.parametrize("trajectory", ["radial", "spiral"])
def test_other_trajectories_are_refused_before_the_scan(minimal_scan, trajectory):
    """What cannot be reconstructed is refused at open, by name."""
    scan = with_encoding(minimal_scan(), trajectory=trajectory)
    with pytest.raises(PipelineError) as error:
        AcquisitionBuffer().open(scan)
    assert str(error.value) == (
        f"AcquisitionBuffer: encoding 0 has the trajectory {trajectory}; only cartesian is supported"
    )


def test_lines_of_one_fault_are_one_sentence(scan_of, make_acquisition, kspace):
    """Three rows beyond the limits, each another; said once, with the numbers of the first, to image and scan."""
    rows = [(row, row if row < 5 else row + 10) for row in range(N_LINES)]
    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=step) for row, step in rows]
    received, said = [], "3 lines set aside, the first: encoding step 1 is 15, outside the header's limits 0 to 7"
    with pytest.raises(ScanError, match=said) as error:
        received.extend(buffer_of(scan_of()).process(lines))
    assert str(error.value).count("set aside") == 1
    (buffer,) = [item for item in received if isinstance(item, ReconBuffer)]
    assert buffer.problems == (said,)
