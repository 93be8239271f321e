"""Lines are due when the scanner's clock says; where it says nothing, one TR after each other. No test here sleeps."""

import pytest

from gadgets.scan import Scan
from pipelines.chain.pace import MOST_PER_TICK, TICK_MS, due_times, paced, repetition_ms
from tests.pipelines.mrd_samples import line

HEADER = (
    '<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><experimentalConditions><H1resonanceFrequency_Hz>1'
    "</H1resonanceFrequency_Hz></experimentalConditions><encoding>{space}</encoding>{sequence}</ismrmrdHeader>"
)
MATRIX = "<matrixSize><x>8</x><y>8</y><z>1</z></matrixSize><fieldOfView_mm><x>8</x><y>8</y><z>1</z></fieldOfView_mm>"
SPACE = (
    f"<encodedSpace>{MATRIX}</encodedSpace><reconSpace>{MATRIX}</reconSpace><encodingLimits/>"
    "<trajectory>cartesian</trajectory>"
)


def stamped(*stamps: int) -> list:
    """Lines with these acquisition time stamps."""
    lines = [line(number) for number in range(len(stamps))]
    for each, stamp in zip(lines, stamps, strict=True):
        each.acquisition_time_stamp = stamp
    return lines


def due(*stamps: int, tr_ms: float | None = 5.0) -> list[float]:
    """When lines with these time stamps are due, in ms."""
    lines = stamped(*stamps)
    pairs = list(due_times(iter(lines), tr_ms))
    assert [each.scan_counter for each, _ in pairs] == [each.scan_counter for each in lines]
    return [ms for _, ms in pairs]


class Clock:
    """Time that passes only while somebody sleeps, or when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ((40, 42, 44), (0, 5, 10)),
        ((40, 44, 48, 119), (0, 10, 20, 197.5)),  # a pause between two parts of the scan is kept
        ((40, 40 + 4000), (0, 10_000)),
        ((0, 2, 4), (0, 5, 10)),  # a clock may start at zero
    ],
)
def test_stamps_count_ticks_of_2_5_ms(stamps, expected):
    """The first line is due at once, the others by the difference of their stamps."""
    assert due(*stamps) == pytest.approx(expected)


def test_lines_of_one_tick_are_spread_over_it():
    """Echoes come faster than the clock ticks: five in one tick are 0.5 ms apart, whenever the next one comes."""
    assert due(7, 8, 8, 8, 8, 8, 9, 9, 30) == pytest.approx([0, 2.5, 3, 3.5, 4, 4.5, 5, 6.25, 57.5])


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ((0, 0, 0), (0, 5, 10)),  # no clock
        ((40, 42, 20, 22), (0, 5, 10, 15)),  # midnight
        ((40, 42, 40 + 4003, 40 + 4005), (0, 5, 10, 15)),  # the patient was moved
        ((40_000, 40_002, 0, 40_006), (0, 5, 10, 15)),  # one line without a stamp
    ],
)
def test_tr_stands_in_for_stamps_that_tell_nothing(stamps, expected, caplog):
    """The step is a TR, the rest of the clock is believed again, and it is said once."""
    assert due(*stamps) == pytest.approx(expected)
    (record,) = caplog.records
    assert "one TR of 5 ms is taken" in record.message


def test_without_tr_lines_without_stamps_go_at_once(caplog):
    """Nothing tells how long to wait."""
    assert due(0, 0, 0, tr_ms=None) == [0, 0, 0]
    assert caplog.messages == [
        "line 1: time stamp 0 after 0 is no time to wait; here and at all such lines nothing is waited for, "
        "TR is unknown"
    ]


def test_clock_that_stands_still_is_none():
    """More lines than any sequence acquires in a tick: the stamp is a constant, and TR takes over."""
    n_lines = 2 * MOST_PER_TICK + 3
    assert due(*[77] * n_lines) == pytest.approx([5.0 * n for n in range(n_lines)])


def test_each_line_waits_until_it_is_due():
    """Sleeps fill what is left of the step; the first line does not wait."""
    clock = Clock()
    arrived = [clock.seconds for _ in paced(stamped(40, 42, 46), 5.0, sleep=clock.sleep, now=clock.now)]
    assert arrived == pytest.approx([1000, 1000.005, 1000.015])
    assert clock.slept == pytest.approx([0.005, 0.010])


def test_late_line_does_not_make_the_others_late():
    """A taker that needs 12 ms for one line finds the next two due, and the fourth on time."""
    clock = Clock()
    arrived = []
    for each in paced(stamped(40, 42, 44, 46), 5.0, sleep=clock.sleep, now=clock.now):
        arrived.append(clock.seconds - 1000)
        clock.seconds += 0.012 if each.scan_counter == 0 else 0
    assert arrived == pytest.approx([0, 0.012, 0.012, 0.015])


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("<TR>5.5</TR><TR>7</TR>", 5.5),
        ("<TE>3</TE>", None),
        ("<TR>0</TR>", None),
        ("<TR>20000</TR>", None),
        ("<TR>NaN</TR>", None),
    ],
)
def test_tr_of_the_header(sequence, expected):
    """The first TR is meant; one of 0, or beyond 10 s, is no time from line to line."""
    xml = HEADER.format(space=SPACE, sequence=f"<sequenceParameters>{sequence}</sequenceParameters>")
    assert repetition_ms(Scan.from_xml(xml)) == expected


def test_header_without_sequence_parameters_has_no_tr():
    """They are optional in MRD."""
    assert repetition_ms(Scan.from_xml(HEADER.format(space=SPACE, sequence=""))) is None


def test_tick_is_that_of_the_simulated_scan(scan):
    """Every 5 ms a line: 40 lines are due within 195 ms."""
    times = [ms for _, ms in due_times(scan[1][:40], None)]
    assert times[-1] == pytest.approx(195)
    assert TICK_MS == 2.5
