"""Images that wait for one another's calibration leave, each once."""

from gadgets.items import Calibration, ReconBuffer
from tests.gadgets.streams import N_SAMPLES
from tests.gadgets.test_calibration_lines import embedded
from tests.gadgets.test_receiving_room import received


def borrowed(make_acquisition, kspace, repetition):
    """A repetition without calibration lines of its own."""
    return [
        make_acquisition(kspace[:, row], kspace_encode_step_1=row, repetition=repetition) for row in (0, 2, 4, 6)
    ]


def test_an_image_that_borrows_outlives_a_lost_calibration_line(scan_of, make_acquisition, kspace):
    """Repetition 0 lost a line and still waits; 1 is complete and has none of its own when 2 brings some again."""
    first = [line for line in embedded(make_acquisition, kspace) if line.idx.kspace_encode_step_1 != 3]
    third = embedded(make_acquisition, kspace, repetition=2)
    scan = scan_of(acceleration=2, repetition=3)
    items, sentence = received(scan, [*first, *borrowed(make_acquisition, kspace, 1), *third])
    assert sentence is None or "slice 0: 1 calibration line is missing" in sentence
    left = [item.headers[0, 0, 0].idx.repetition for item in items if isinstance(item, ReconBuffer)]
    assert sorted(left) == [0, 1, 2]


def test_an_image_released_by_another_is_not_sent_twice(scan_of, make_acquisition):
    """Inner loop: 0 lacks a calibration line and cannot be counted, 1 waits for it; both are silent when 2 begins."""
    flags_of = {(0, 2): [21], (0, 4): [21], (0, 5): [20]}
    order = [(0, 0), (1, 0), (0, 2), (1, 2), (0, 4), (1, 4), (0, 5), (0, 7), (1, 6)]
    order += [(2, row) for row in (0, 2, 4, 6)]
    lines = [
        make_acquisition(n_samples=N_SAMPLES, flags=flags_of.get((repetition, row), []), kspace_encode_step_1=row,
                         repetition=repetition)
        for repetition, row in order
    ]  # fmt: skip
    items, _ = received(scan_of(acceleration=2, repetition=3), lines)
    left = [item.headers[0, 0, 0].idx.repetition for item in items if isinstance(item, ReconBuffer)]
    assert left == [0, 1, 2]


def test_a_calibration_leaves_once(scan_of, make_acquisition, kspace):
    """Row 5 of repetition 0 comes when its calibration has gone ahead and 1 has left: its image has it all the same."""
    flags_of = {2: [21], 3: [20], 4: [21], 5: [20]}
    order = [*((0, row) for row in (2, 3, 4, 6)), *((1, row) for row in (2, 3, 4, 5, 6, 0)), (0, 5), (0, 0)]
    lines = [
        make_acquisition(kspace[:, row], flags=flags_of.get(row, []), kspace_encode_step_1=row, repetition=repetition)
        for repetition, row in order
    ]
    items, sentence = received(scan_of(acceleration=2, repetition=2), lines)
    assert sentence is None
    assert [(type(item), item.acs.shape[-2]) for item in items] == [
        (Calibration, 3), (Calibration, 4), (ReconBuffer, 4), (ReconBuffer, 4),
    ]  # fmt: skip
