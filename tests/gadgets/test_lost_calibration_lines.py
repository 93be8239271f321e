"""A calibration line that got lost is missed, and what is left of the others calibrates."""

import pytest
import torch

from gadgets.errors import ScanError
from gadgets.items import ReconBuffer
from gadgets.receiving.buffer_intake import BufferIntake
from gadgets.stock import AcquisitionAccumulateTrigger, BucketToBuffer
from tests.gadgets.streams import N_COILS, N_LINES, N_SAMPLES, buffer_of, emitted_after, images

N_KZ = 4


def embedded(make_acquisition, kspace, lost=(), calibrated=range(N_KZ)):
    """R=2 on even rows of every partition, ACS rows 1 to 6 of those `calibrated`; without `lost` (partition, row)."""
    for partition in range(kspace.shape[1]):
        for row in range(N_LINES):
            calibrates = 1 <= row <= 6 and partition in calibrated
            if (row % 2 and not calibrates) or (partition, row) in lost:
                continue
            flags = [] if not calibrates else [20] if row % 2 else [21]
            yield make_acquisition(
                kspace[:, partition, row], flags=flags, kspace_encode_step_1=row, kspace_encode_step_2=partition
            )


@pytest.fixture
def slab(noise):
    return noise(N_COILS, N_KZ, N_LINES, N_SAMPLES).astype("complex64")


@pytest.fixture
def slab_scan(minimal_scan):
    return minimal_scan((N_SAMPLES, N_LINES, N_KZ), (60.0, 80.0, 20.0), oversampling=1, acceleration=2)


def test_a_lost_line_is_missed(scan_of, make_acquisition, kspace):
    """Rows 1 to 6 calibrate, 3 is lost: rows 4 to 6 are left, the image counts it, and its comment will say so."""
    (buffer,) = images(scan_of(acceleration=2), embedded(make_acquisition, kspace[:, None], lost={(0, 3)}))
    assert torch.equal(buffer.acs[0, 0], torch.from_numpy(kspace[:, 4:7]))
    assert str(buffer.counts[0, 0, 0]) == "4 of 5"
    assert buffer.problems == ("1 calibration line is missing, first row 3",)


def test_a_line_lost_in_one_partition_calibrates_in_none(slab_scan, slab, make_acquisition):
    """Transformed along z with a zero in its place it would be taken for measured in every slice of the slab."""
    lost = {(2, 3), (1, 3)}
    (buffer,) = images(slab_scan, embedded(make_acquisition, slab, lost=lost))
    assert buffer.acs.shape[-2] == 3
    assert buffer.acs_row == 4
    assert buffer.counts[0, 0, 0] == (16, 18)
    assert buffer.problems == ("2 calibration lines are missing, first row 3 of partition 1",)


def test_a_lost_line_of_the_grid_is_counted_once(scan_of, make_acquisition, kspace):
    """Row 4 is one of the image's own as well."""
    (buffer,) = images(scan_of(acceleration=2), embedded(make_acquisition, kspace[:, None], lost={(0, 4)}))
    assert str(buffer.counts[0, 0, 0]) == "3 of 4"
    assert buffer.problems == ("1 calibration line is missing, first row 4",)


def test_a_lost_line_of_a_reference_scan_counts_wherever_it_lies(scan_of, make_acquisition, kspace):
    """Row 4 of the grid was acquired for the image, and lost for its calibration, which is a scan of its own."""
    reference = [make_acquisition(kspace[:, row], flags=[20], kspace_encode_step_1=row) for row in (2, 3, 5, 6)]
    imaging = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(0, 8, 2)]
    (buffer,) = images(scan_of(acceleration=2, calibration_mode="separate"), [*reference, *imaging])
    assert str(buffer.counts[0, 0, 0]) == "4 of 5"
    assert buffer.problems == ("1 calibration line is missing, first row 4",)


def test_partitions_may_come_in_any_order(slab_scan, slab, make_acquisition):
    """Even ones before odd ones: between them each row has gaps, and nothing calibrates as yet."""
    lines = sorted(embedded(make_acquisition, slab), key=lambda line: line.idx.kspace_encode_step_2 % 2)
    (buffer,) = images(slab_scan, lines)
    assert buffer.acs.shape[-2] == 6
    assert buffer.problems == ()


def test_no_row_without_a_gap_is_no_calibration(slab_scan, slab, make_acquisition):
    """A whole partition of calibration lines is lost: an image all the same, which says so."""
    lost = {(2, row) for row in range(1, 7)}
    (buffer,) = images(slab_scan, embedded(make_acquisition, slab, lost=lost))
    assert buffer.acs is None
    assert buffer.counts[0, 0, 0].complete is False


def test_corners_may_be_left_out(slab_scan, slab, make_acquisition):
    """Calibration of the inner partitions alone is whole; it cannot serve an image that needs all of them."""
    (buffer,) = images(slab_scan, embedded(make_acquisition, slab, calibrated=(1, 2)))
    assert buffer.problems == ()
    assert buffer.counts[0, 0, 0] == (16, 16)
    assert buffer.acs.shape[-2] == 6
    assert buffer.acs_row is None
    (whole,) = images(slab_scan, embedded(make_acquisition, slab))
    assert whole.acs_row == 1


def test_an_image_calibrated_by_inner_partitions_leaves_when_it_is_complete(slab_scan, slab, make_acquisition):
    """Its own lines calibrate it, though none went ahead: it waits neither for others nor for the end of the scan."""
    lines = [*embedded(make_acquisition, slab, calibrated=(1, 2))]
    again = [*embedded(make_acquisition, slab, calibrated=(1, 2))]
    for line in again:
        line.idx.repetition = 1
    left = [n for n, item in emitted_after(slab_scan, [*lines, *again]) if isinstance(item, ReconBuffer)]
    assert left == [len(lines), len(lines) + len(again)]


def test_a_line_lost_from_a_scan_of_its_own_is_said(scan_of, make_acquisition, kspace):
    """The images of two repetitions share it: they say so, and the scan ends with an error."""
    calibration = [
        make_acquisition(kspace[:, row], flags=[20], kspace_encode_step_1=row) for row in (1, 2, 4, 5, 6, 7)
    ]
    imaging = [
        make_acquisition(kspace[:, row], kspace_encode_step_1=row, repetition=repetition)
        for repetition in (1, 2)
        for row in range(0, 8, 2)
    ]
    scan = scan_of(acceleration=2, calibration_mode="separate", repetition=3)
    received = []
    with pytest.raises(ScanError, match=r"slice 0: 1 calibration line is missing, first row 3; 2 of 3 images"):
        received.extend(buffer_of(scan).process([*calibration, *imaging]))
    said = [item.problems for item in received if isinstance(item, ReconBuffer)]
    assert said == [("1 calibration line is missing, first row 3",)] * 2


def test_an_unflagged_centre_with_a_gap_is_missed_too(slab_scan, slab, make_acquisition):
    """Rows 2 to 5 of all partitions, without flags, but for one line: it is missed, and its row does not calibrate."""
    lines = [
        make_acquisition(slab[:, partition, row], kspace_encode_step_1=row, kspace_encode_step_2=partition)
        for partition in range(N_KZ)
        for row in (0, 2, 3, 4, 5, 6)
        if (partition, row) != (2, 3)
    ]
    (buffer,) = images(slab_scan, lines, acs_lines=4)
    assert buffer.acs.shape[-2] == 2
    assert buffer.problems == ("1 calibration line is missing, first row 3 of partition 2",)


def test_buckets_miss_them_too(scan_of, make_acquisition, kspace):
    """The buffered chain counts and says the same."""
    scan, stream = scan_of(acceleration=2), embedded(make_acquisition, kspace[:, None], lost={(0, 3)})
    for gadget in (AcquisitionAccumulateTrigger(), BucketToBuffer(), BufferIntake(device="cpu")):
        gadget.open(scan)
        stream = gadget.process(stream)
    (buffer,) = [item for item in stream if isinstance(item, ReconBuffer)]
    assert str(buffer.counts[0, 0, 0]) == "4 of 5"
    assert buffer.problems == ("1 calibration line is missing, first row 3",)
