"""What the receiving room owes a scan: each image its own calibration, each line its account, each at linear cost."""

import dataclasses
import itertools
from unittest.mock import patch

import numpy as np
import pytest
import torch

from gadgets.errors import ScanError
from gadgets.items import Calibration, ReconBuffer
from gadgets.receiving.image_lines import ImageLines
from gadgets.receiving.ledger import Ledger
from tests.gadgets.streams import N_LINES, N_SAMPLES, buffer_of, emitted_after, images
from tests.gadgets.test_calibration_lines import embedded


def received(scan, lines, **properties):
    """What leaves, and the sentence with which the scan ends, or None."""
    items = []
    try:
        items.extend(buffer_of(scan, **properties).process(lines))
    except ScanError as error:
        return items, str(error)
    return items, None


def test_a_line_that_comes_again_is_not_folded_in(scan_of, make_acquisition, kspace):
    """Row 3 a second time, 1000 times as strong: it is set aside, and the image is that of the first."""
    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(N_LINES)]
    again = make_acquisition(1000 * kspace[:, 3], kspace_encode_step_1=3)
    items, sentence = received(scan_of(), [*lines[:4], again, *lines[4:]])
    (buffer,) = [item for item in items if isinstance(item, ReconBuffer)]
    assert torch.equal(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(kspace))
    assert buffer.problems == ("1 line set aside: it came before, and the header announces 1 of its kind",)
    assert sentence == "AcquisitionBuffer: 1 line set aside: it came before, and the header announces 1 of its kind"


@pytest.mark.parametrize("counters", [{"segment": 1}, {"user": 1}])
def test_nor_under_other_counters(scan_of, make_acquisition, kspace, counters):
    """Segment and user counters do not make images of their own: the same row of another one is the same line."""
    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(N_LINES)]
    again = make_acquisition(1000 * kspace[:, 3], kspace_encode_step_1=3, segment=counters.get("segment", 0))
    again.idx.user[0] = counters.get("user", 0)
    items, sentence = received(scan_of(), [*lines[:4], again, *lines[4:]])
    assert torch.equal(items[-1].kspace[0, 0, 0, :, 0], torch.from_numpy(kspace))
    assert "1 line set aside: it came before" in sentence


def test_a_few_lines_under_other_counters_are_named(minimal_scan, make_acquisition):
    """One of 16 rows came as user 7: nothing tells whether it belongs to the image, so that the image says it."""
    lines = [make_acquisition(n_samples=6, kspace_encode_step_1=row) for row in range(16)]
    lines[5].idx.user[2] = 7
    (buffer,) = images(minimal_scan((6, 16, 1), (60.0, 80.0, 5.0), oversampling=1), lines)
    assert buffer.problems == ("1 of 16 lines came under other segment or user counters than the rest",)


def test_segments_are_no_oddity(minimal_scan, make_acquisition):
    """Of two segments each is half of the image."""
    lines = [make_acquisition(n_samples=6, kspace_encode_step_1=row, segment=row % 2) for row in range(16)]
    (buffer,) = images(minimal_scan((6, 16, 1), (60.0, 80.0, 5.0), oversampling=1), lines)
    assert buffer.problems == ()


def test_averages_that_are_announced_come_once_each(scan_of, make_acquisition, kspace):
    """Two averages, numbered: row 3 of the second one comes twice, and counts once."""
    lines = [
        make_acquisition(kspace[:, row], kspace_encode_step_1=row, average=average)
        for row in range(N_LINES)
        for average in (0, 1)
    ]
    again = make_acquisition(1000 * kspace[:, 3], kspace_encode_step_1=3, average=1)
    items, sentence = received(scan_of(average=2), [*lines[:8], again, *lines[8:]])
    torch.testing.assert_close(items[-1].kspace[0, 0, 0, :, 0], torch.from_numpy(kspace))
    assert items[-1].counts[0, 0, 0] == (16, 16)
    assert "1 line set aside: it came before, and the header announces 2 of its kind" in sentence


def two_fields_of_view(scan_of, **kwargs):
    """Encoding 1 has half the field of view along the rows."""
    scan = scan_of(n_encodings=2, **kwargs)
    first, second = scan.encodings
    half = (first.recon_fov[0], first.recon_fov[1] / 2, first.recon_fov[2])
    return dataclasses.replace(scan, encodings=(first, dataclasses.replace(second, encoded_fov=half, recon_fov=half)))


def test_an_encoding_is_not_calibrated_by_another(scan_of, make_acquisition, kspace):
    """Calibration lines of encoding 0 say nothing of encoding 1, whose pixels lie elsewhere."""
    first = list(embedded(make_acquisition, kspace))
    second = [
        make_acquisition(kspace[:, row], header={"encoding_space_ref": 1}, kspace_encode_step_1=row)
        for row in (0, 2, 4, 6)
    ]
    items, _ = received(two_fields_of_view(scan_of, acceleration=2), [*first, *second], acs_lines=4)
    by_encoding = {item.encoding.index: item for item in items if isinstance(item, ReconBuffer)}
    assert torch.equal(by_encoding[0].acs[0, 0], torch.from_numpy(kspace[:, 2:6]))
    assert by_encoding[1].acs is None or by_encoding[1].acs.shape[-2] == 1


def test_two_encodings_line_by_line_calibrate_once_each(scan_of, make_acquisition, kspace):
    """Neither sees its calibration end because a line of the other comes between."""
    pairs = zip(embedded(make_acquisition, kspace), embedded(make_acquisition, kspace), strict=True)
    lines = []
    for one, other in pairs:
        other.encoding_space_ref = 1
        lines += [one, other]
    items, _ = received(two_fields_of_view(scan_of, acceleration=2), lines)
    calibrations = [item for item in items if isinstance(item, Calibration)]
    assert [(item.encoding.index, item.acs.shape[-2]) for item in calibrations] == [(0, 4), (1, 4)]


N_PHASES, N_ROWS = 4, 24
ACS = range(8, 16)


def cine(make_acquisition, order, flags_grid=True):
    """R=2 on even rows, 8 calibration rows, 4 cardiac phases: one after the other, or in bursts of every fifth line."""
    rows = sorted({*range(0, N_ROWS, 2), *ACS})
    flags_of = {row: [] if row not in ACS else [20] if row % 2 else [21] if flags_grid else [] for row in rows}
    by_phase = [
        [make_acquisition(n_samples=6, flags=flags_of[row], kspace_encode_step_1=row, phase=phase) for row in rows]
        for phase in range(N_PHASES)
    ]
    if order == "sequential":
        return list(itertools.chain(*by_phase))
    return [line for start in range(5) for phase in by_phase for line in phase[start::5]]


@pytest.mark.parametrize("flags_grid", [True, False])
@pytest.mark.parametrize("order", ["sequential", "segmented"])
def test_the_number_of_calibrations_does_not_depend_on_the_order_of_lines(
    minimal_scan, make_acquisition, order, flags_grid
):
    """Each phase calibrates once, by all its calibration lines: not by each burst of them, nor by the first two."""
    scan = minimal_scan((6, N_ROWS, 1), (60.0, 80.0, 5.0), oversampling=1, acceleration=2, phase=N_PHASES)
    items, sentence = received(scan, cine(make_acquisition, order, flags_grid))
    assert sentence is None
    n_acs = len(ACS) if flags_grid else len(ACS) - 1  # an even row at the edge has no flag to be known by
    assert [item.acs.shape[-2] for item in items if isinstance(item, Calibration)] == [n_acs] * N_PHASES
    assert sum(isinstance(item, ReconBuffer) for item in items) == N_PHASES


def test_a_reference_calibrates_whatever_the_header_leaves_out(scan_of, make_acquisition, kspace):
    """No calibration mode, and the reference comes last: the complete image waits for what it cannot do without."""
    scan = scan_of(acceleration=2)
    scan = dataclasses.replace(scan, encodings=(dataclasses.replace(scan.encodings[0], calibration_mode=None),))
    imaging = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in (0, 2, 4, 6)]
    reference = [make_acquisition(kspace[:, row], flags=[20], kspace_encode_step_1=row) for row in range(2, 6)]
    items, sentence = received(scan, [*imaging, *reference])
    assert sentence is None
    assert torch.equal(items[-1].acs[0, 0], torch.from_numpy(kspace[:, 2:6]))


def work(scan, lines):
    """How often the room looked at an image as a whole: at its account, or at its calibration lines."""
    looks = 0
    count, lacks = Ledger.count, ImageLines.lacks_calibration

    def counted(look):
        def look_and_count(*args, **kwargs):
            nonlocal looks
            looks += 1
            return look(*args, **kwargs)

        return look_and_count

    with patch.object(Ledger, "count", counted(count)), patch.object(ImageLines, "lacks_calibration", counted(lacks)):
        received(scan, lines)
    return looks


@pytest.mark.parametrize(
    "rows", [(0, 2, 4), (0, 2, 3, 4, 5, 6)], ids=["images that never complete", "images that calibrate themselves"]
)
@pytest.mark.parametrize("is_inner_loop", [False, True])
def test_twice_the_repetitions_cost_twice_the_work(scan_of, make_acquisition, rows, is_inner_loop):
    """Counted, not timed: looks at images grow with the lines, however many images are under way."""

    def lines(n):
        order = itertools.product(rows, range(n))
        for row, repetition in order if is_inner_loop else sorted(order, key=lambda pair: pair[1]):
            flags = {2: [21], 3: [20], 4: [21], 5: [20]}.get(row, []) if len(rows) > 3 else []
            yield make_acquisition(n_samples=N_SAMPLES, flags=flags, kspace_encode_step_1=row, repetition=repetition)

    few, many = (work(scan_of(acceleration=2, repetition=n), lines(n)) for n in (20, 40))
    assert many <= 2.1 * few


def test_an_image_that_lost_a_calibration_line_leaves_when_two_more_have_begun(scan_of, make_acquisition, kspace):
    """Its grid is complete; the line between flagged ones will not come any more."""
    lines = [
        line
        for repetition in range(4)
        for line in embedded(make_acquisition, kspace, repetition=repetition)
        if (repetition, line.idx.kspace_encode_step_1) != (0, 3)
    ]
    left = [(n, item.headers[0, 0, 0].idx.repetition)
            for n, item in emitted_after(scan_of(acceleration=2, repetition=4), lines)
            if isinstance(item, ReconBuffer)]  # fmt: skip
    assert left == [(11, 1), (12, 0), (17, 2), (23, 3)]


def test_spoilt_lines_leave_their_counts_alone(scan_of, make_acquisition, kspace):
    """A line of NaN is set aside in every door: it is missing, not zero."""
    broken = kspace.copy()
    broken[:, 4] = np.nan
    lines = [make_acquisition(broken[:, row], kspace_encode_step_1=row) for row in range(N_LINES)]
    items, sentence = received(scan_of(), lines)
    assert items[-1].counts[0, 0, 0] == (7, 8)
    assert "1 line set aside: 18 of 18 samples are not finite numbers" in sentence
