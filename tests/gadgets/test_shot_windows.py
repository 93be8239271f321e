"""A window that slides over shots: which it holds, when it leaves, what it says of itself."""

import re
from itertools import pairwise

import pytest
import torch

from gadgets.errors import PipelineError
from gadgets.items import Aside
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from gadgets.scan import Scan
from tests.gadgets.shots import buffers_and_error, copy, received, scanned

pytest.importorskip("finufft")
SHOTS = 24  # of a repetition


def headers(buffers):
    return [buffer.headers[0, 0, 0] for buffer in buffers]


def numbers(lines) -> dict[int, int]:
    """Shots by their time stamps: TR 5 ms, in ticks of 2.5 ms."""
    return {line.acquisition_time_stamp: number for number, line in enumerate(lines)}


def without_repetitions(scan) -> Scan:
    """The same header, that leaves open when the scan ends."""
    return Scan.from_xml(re.sub(r"<repetition>.*?</repetition>", "", scan.xml, flags=re.DOTALL))


def test_windows_go_on_from_one_repetition_to_the_next():
    """48 shots in two repetitions, 10 a window, every 6: they begin at 0, 6, 12, …, and the last ends with the scan."""
    scan, lines, places = scanned(n_repetitions=2)
    buffers, error = received(scan, lines, spokes=10, every=6)
    assert error is None
    firsts = [0, 6, 12, 18, 24, 30, 36, 38]
    assert len(buffers) == len(firsts)
    for buffer, first in zip(buffers, firsts, strict=True):
        held = sorted(number % SHOTS for number in range(first, first + 10))
        inside = (places.abs() <= 0.5).all(-1).all(0)
        assert torch.equal(buffer.sampling.coords[0, 0, 0], places[held][:, inside])
        assert str(buffer.counts[0, 0, 0]) == "10 of 10"


def test_an_image_bears_the_time_of_its_middle_shot_and_a_number_of_its_own():
    """Viewers tell images apart by their repetition, which rises by one from window to window."""
    scan, lines, _ = scanned(n_repetitions=2)
    buffers, _ = received(scan, lines, spokes=10, every=6)
    stamped = [numbers(lines)[header.acquisition_time_stamp] for header in headers(buffers)]
    assert stamped == [4, 10, 16, 22, 28, 34, 40, 42]
    assert [header.idx.repetition for header in headers(buffers)] == list(range(8))


def test_images_tell_whose_shots_they_hold():
    """So that a client can account for repetitions of which no image bears the number."""
    scan, lines, _ = scanned(n_repetitions=2)
    buffers, _ = received(scan, lines, spokes=10, every=8)
    assert [buffer.notes["kband_window_repetitions"] for buffer in buffers] == ["0", "0", "0, 1", "1", "1", "1"]


def test_a_window_leaves_with_its_last_shot():
    """The next shot is not awaited."""
    scan, lines, _ = scanned()
    gadget, n_read = TrajectoryBuffer(device="cpu", spokes=8, every=8), 0
    gadget.open(scan)

    def counted():
        nonlocal n_read
        for line in lines:
            n_read += 1
            yield line

    assert [n_read for _ in gadget.process(counted())] == [8, 16, 24]


def test_windows_follow_one_another_unless_told():
    """No shot is in two images, none in no image."""
    scan, lines, _ = scanned()
    buffers, _ = received(scan, lines, spokes=6)
    assert len(buffers) == SHOTS // 6


def test_slices_have_windows_of_their_own():
    """Interleaved slices do not mix."""
    scan, lines, _ = scanned(n_slices=2, interleaved=True)
    buffers, error = received(scan, lines, spokes=12, every=12)
    assert error is None
    assert sorted((header.idx.slice, header.idx.repetition) for header in headers(buffers)) == [
        (0, 0), (0, 1), (1, 0), (1, 1)]  # fmt: skip


def test_a_lost_shot_is_missed_by_the_windows_that_held_it():
    """Its number is told by the counters, so no later window is shifted in time."""
    scan, lines, _ = scanned()
    buffers, error = received(scan, [*lines[:9], *lines[10:]], spokes=8, every=8)
    assert error is None
    assert [str(buffer.counts[0, 0, 0]) for buffer in buffers] == ["8 of 8", "7 of 8", "8 of 8"]


def test_a_lost_last_shot_does_not_keep_a_window():
    """The first shot behind it sends it."""
    scan, lines, _ = scanned()
    buffers, _ = received(scan, [*lines[:7], *lines[8:]], spokes=8, every=8)
    assert [str(buffer.counts[0, 0, 0]) for buffer in buffers] == ["7 of 8", "8 of 8", "8 of 8"]


def test_windows_without_a_shot_and_a_scan_cut_short_are_told():
    """An image that never came is an error, as everywhere."""
    scan, lines, _ = scanned()
    buffers, error = buffers_and_error(scan, [*lines[:8], *lines[16:20]], spokes=8, every=8)
    assert len(buffers) == 2
    assert error == (
        "TrajectoryBuffer: slice 0: no shot came of 1 of 3 windows; slice 0: the last shot that came is number 20 of 24"
    )


def test_a_scan_that_ends_when_it_likes_may_be_shorter_than_a_window():
    """What came is shown, and counted."""
    scan, lines, _ = scanned()
    buffers, error = received(without_repetitions(scan), lines[:5], spokes=8, every=8)
    assert error is None
    assert [str(buffer.counts[0, 0, 0]) for buffer in buffers] == ["5 of 8"]


def test_a_shot_out_of_turn_is_set_aside():
    """A window that has left cannot take it; the one that comes next says so."""
    scan, lines, _ = scanned()
    buffers, error = buffers_and_error(scan, [*lines[:10], lines[3], *lines[10:]], spokes=8, every=8)
    reason = "1 line set aside: it is shot 4 of its series, and came behind shot 10"
    assert error == f"TrajectoryBuffer: {reason}"
    assert [buffer.problems for buffer in buffers] == [(), (reason,), ()]


def test_the_first_shots_calibrate_all_windows():
    """By the first window, and once more when shots suffice for 12 lines without gap, 19 of them; then never again."""
    scan, lines, _ = scanned(n_repetitions=2)
    buffers, _ = received(scan, lines, spokes=8, every=8, acs_lines=12)
    acs = [buffer.acs for buffer in buffers]
    same = [torch.equal(one, other) for one, other in pairwise(acs)]
    assert same == [True, False, True, True, True]


def test_windows_of_the_same_angles_have_the_same_coordinates():
    """Whatever shot they begin with: their transfer function is then known already."""
    scan, lines, _ = scanned(n_repetitions=2)
    buffers, _ = received(scan, lines, spokes=SHOTS, every=7)
    assert all(torch.equal(buffer.sampling.coords, buffers[0].sampling.coords) for buffer in buffers)


def test_what_cannot_be_numbered_is_refused_before_the_scan():
    """By name, before a patient is measured."""
    scan, _, _ = scanned()
    endless = re.sub(r"<kspace_encoding_step_1>.*?</kspace_encoding_step_1>", "", scan.xml, flags=re.DOTALL)
    for xml, sentence in (
        (endless, "encoding 0 sets no limits of encoding step 1, which number the shots"),
        (scan.xml, "30 in a window, but the header announces 24"),
    ):
        with pytest.raises(PipelineError, match=f"^TrajectoryBuffer.spokes: {sentence}$"):
            TrajectoryBuffer(spokes=30).open(Scan.from_xml(xml))


def test_a_shot_that_has_no_place_is_warned_of_at_once():
    """Before the window that lacks it is full."""
    scan, lines, _ = scanned()
    gadget = TrajectoryBuffer(device="cpu", spokes=24)
    gadget.open(without_repetitions(scan))
    items = gadget.process(iter([copy(lines[0], lines[0].traj * 64), *lines[1:3]]))
    assert isinstance(next(items), Aside)
