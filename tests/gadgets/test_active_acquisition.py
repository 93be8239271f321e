"""The scanner is told which line comes next, stops when there are enough, and no image hides how many it has."""

from dataclasses import replace
from functools import cache

import ismrmrd
import pytest

from gadgets.active.active_acquisition import ActiveAcquisition
from gadgets.active.chosen_image import ChosenImage
from gadgets.active.feedback import Feedback
from gadgets.errors import PipelineError, ScanError
from gadgets.items import Aside
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.receiving.noted_line import NotedLine
from gadgets.scan import Scan
from kband_core.active.orders import stepped_out
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan

N = 64  # the fewest that the evaluator has seen
PLAIN = Protocol(matrix=N, n_coils=4, n_slices=1, acceleration=1, noise_scan=False, oversampling=1)


@cache
def scanned(protocol: Protocol = PLAIN):
    header, lines, _ = simulate_scan(protocol)
    return Scan.from_xml(header), lines


def measured(rows, gadget: ActiveAcquisition, most: int = N, n_coils: int = 4) -> list:
    """What the gadget yields when these rows come, then those that it asks for last, until it stops; `most` in all."""
    scan, lines = scanned(replace(PLAIN, n_coils=n_coils))
    by_row = {line.idx.kspace_encode_step_1: line for line in lines}
    gadget.open(scan)
    told: list[Feedback] = []

    def source():
        asked = iter(rows)
        for number in range(most):
            row = next(asked, None)
            if row is None:
                if not told or told[-1].stop:
                    return
                row = told[-1].steps[0]
            line = ismrmrd.Acquisition(by_row[row].getHead(), by_row[row].data)
            line.clearAllFlags()
            header = line.getHead()
            header.scan_counter = number + 1
            yield ismrmrd.Acquisition(header, line.data)

    out = []
    for item in gadget.process(source()):
        out.append(item)
        if isinstance(item, Aside) and item.waveform is not None:
            told.append(Feedback.read(item.waveform))
    return out


def lines_of(items) -> list[ismrmrd.Acquisition]:
    return [item for item in items if not isinstance(item, Aside)]


def feedback_of(items) -> list[Feedback]:
    return [Feedback.read(item.waveform) for item in items if isinstance(item, Aside) and item.waveform is not None]


def image_of(items, gadget: ActiveAcquisition):
    """The one buffer that such lines become."""
    buffer = AcquisitionBuffer(acs_lines=gadget.acs_lines, device="cpu")
    buffer.open(gadget.scan_behind(scanned()[0]))
    made = [item for item in buffer.process(iter(lines_of(items))) if hasattr(item, "counts")]
    (image,) = made
    return image


ACS = stepped_out(N, 8)[:8].tolist()


def test_a_scanner_that_follows_is_stopped_and_the_image_says_so():
    """16 lines of 64: nothing is missing, for nobody wanted more, and comment and meta tell both numbers."""
    gadget = ActiveAcquisition(acs_lines=8, lines=16)
    items = measured(ACS, gadget)
    image = image_of(items, gadget)
    assert (len(lines_of(items)), str(image.counts[0, 0, 0])) == (16, "16 of 16")
    assert image.notes["ImageComments"] == "STOPPED on purpose, 16 of 64 lines"
    assert image.notes["kband_active"].startswith("stopped at 16 of 64 lines, NMSE told ")
    assert feedback_of(items)[-1].stop


def test_a_scan_that_ends_before_it_was_stopped_is_incomplete():
    """Whoever pulled the plug, the image lacks lines."""
    gadget = ActiveAcquisition(acs_lines=8, lines=16)
    image = image_of(measured(ACS, gadget, most=12), gadget)
    assert (image.counts[0, 0, 0].complete, str(image.counts[0, 0, 0])) == (False, "12 of 16")
    assert image.notes["kband_active"].startswith("not stopped, at 12 of 64 lines")


def test_a_target_stops_where_the_error_told_is_below_it():
    """Not before: the decision that stops is the first whose limit is below."""
    gadget = ActiveAcquisition(acs_lines=8, target=0.2)
    items = measured(ACS, gadget)
    assert 8 <= len(lines_of(items)) < N
    assert "target 0.2" in image_of(items, gadget).notes["kband_active"]


def test_scans_unlike_all_that_was_seen_are_not_stopped_by_their_error():
    """Of two coils nobody has told how far to trust it: the image says so, and gets as many lines as it may have."""
    gadget, alike = ActiveAcquisition(acs_lines=8, lines=20, target=1.0), ActiveAcquisition(acs_lines=8, target=1.0)
    items = measured(ACS, gadget, n_coils=2)
    assert len(lines_of(items)) == 20
    (notes,) = (line.notes for line in lines_of(items) if isinstance(line, NotedLine))
    assert notes["kband_active_outside"] == "coils: 2, simulated_lines has seen 4 to 10"
    assert len(lines_of(measured(ACS, alike))) == 9


def test_a_scanner_that_does_not_follow_gets_all_its_lines():
    """A file that is replayed cannot know what it is asked for: no line of it is left out."""
    gadget = ActiveAcquisition(acs_lines=8, target=0.2)
    items = measured([*ACS, *(row for row in range(N) if row not in ACS)], gadget)
    image = image_of(items, gadget)
    assert (len(lines_of(items)), str(image.counts[0, 0, 0])) == (N, "64 of 64")
    assert image.notes["kband_active"].startswith("not chosen: the scanner followed ")
    assert any("were not followed" in item.text for item in items if isinstance(item, Aside))


@pytest.mark.parametrize(("followed", "missed", "follows"), [(0, 0, False), (1, 2, False), (2, 2, True), (3, 0, True)])
def test_a_line_that_was_asked_for_by_chance_is_not_following(followed, missed, follows):
    """A scan in an order of its own hits a line now and then; it must not be cut for that."""
    image = ChosenImage(scanned()[0].encoding(0), None, None)
    image.n_followed, image.n_missed = followed, missed
    assert image.follows is follows


def test_lines_behind_a_stop_are_left_out_and_told():
    """A stop that the scanner has missed: the image is under way."""
    gadget = ActiveAcquisition(acs_lines=8, lines=9)
    first = feedback_of(measured(ACS, gadget))[0].steps[0]
    gadget = ActiveAcquisition(acs_lines=8, lines=9)
    items = measured([*ACS, first, *[row for row in range(N) if row not in (*ACS, first)][:3]], gadget)
    assert len(lines_of(items)) == 9
    assert any("3 lines came after the stop, and are left out" in i.text for i in items if isinstance(i, Aside))


def test_decisions_are_for_the_readout_that_is_lookahead_later():
    """In the readouts' own numbers: the scanner knows by them which decision is for which line, and which is late."""
    told = feedback_of(measured(ACS, ActiveAcquisition(acs_lines=8, lines=16, lookahead=1)))
    assert [(each.after, each.applies_to) for each in told[:2]] == [(8, 9), (9, 10)]
    ahead = feedback_of(measured([*ACS, 0, 1, 2, 3], ActiveAcquisition(acs_lines=8, lookahead=3)))
    assert [(each.after, each.applies_to) for each in ahead[:2]] == [(8, 11), (9, 12)]
    assert ahead[0].steps[0] != ahead[1].steps[0] != ahead[2].steps[0]


def test_only_lines_within_the_headers_limits_are_asked_for():
    """Of partial Fourier 56 of 64 rows exist: an encoding step that the scanner has not is no decision."""
    scan, lines = scanned(replace(PLAIN, partial_fourier=0.875))
    gadget = ActiveAcquisition(acs_lines=8, ranks=64)
    gadget.open(scan)
    told = feedback_of(gadget.process(iter(lines)))
    assert {step for each in told for step in each.steps} <= set(range(56))
    assert len(told) > 3


def test_a_decision_behind_its_deadline_is_not_sent():
    """The scanner has gone on; and it is told at the end how many came too late."""
    items = measured([*ACS, 0, 1], ActiveAcquisition(acs_lines=8, deadline=1e-6))
    assert feedback_of(items) == []
    assert any("3 came too late" in item.text for item in items if isinstance(item, Aside))


def test_decisions_are_the_hosts_unless_the_scanner_is_to_hear():
    """A stock client breaks on a waveform: off unless somebody asks for it."""
    kinds = [{item.kind for item in measured(ACS, gadget) if isinstance(item, Aside)}
             for gadget in (ActiveAcquisition(acs_lines=8, lines=10),
                            ActiveAcquisition(acs_lines=8, lines=10, feedback="scanner"))]  # fmt: skip
    assert kinds == [{"decision"}, {"feedback"}]


def test_missing_calibration_is_one_sentence():
    """Without the centre no line was chosen, and the image is not what was asked for."""
    with pytest.raises(ScanError, match=r"slice 0: calibration is missing, 2 of the 8 central lines did not come"):
        measured([*ACS[:6], 0, 1], ActiveAcquisition(acs_lines=8))


def test_an_image_that_goes_on_behind_another_is_refused():
    """Interleaved slices: a decision would be for the line of another."""
    gadget = ActiveAcquisition(acs_lines=8)
    scan, lines = scanned(replace(PLAIN, n_slices=2, interleaved=True))
    gadget.open(scan)
    with pytest.raises(ScanError, match=r"slice 0 goes on after another image; one after another expected$"):
        list(gadget.process(iter(lines)))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"acceleration": 2}, "announces R=2: its lines are chosen already; R=1 expected"),
        ({"n_averages": 2}, "has 2 averages; lines are chosen once"),
        ({"trajectory": "radial", "n_shots": 8}, "has the trajectory radial; only cartesian is supported"),
    ],
)
def test_scans_without_a_choice_are_refused_before_the_first_line(changed, sentence):
    """One sentence each."""
    with pytest.raises(PipelineError, match=f"^ActiveAcquisition: encoding 0 {sentence}$"):
        ActiveAcquisition(acs_lines=8).open(scanned(replace(PLAIN, **changed))[0])


def test_a_header_without_line_numbers_is_refused():
    """Nobody knows which lines there are."""
    xml = scanned()[0].xml
    start, end = "<kspace_encoding_step_1>", "</kspace_encoding_step_1>"
    limits = xml.index("<encodingLimits>")
    begin, stop = xml.index(start, limits), xml.index(end, limits) + len(end)
    with pytest.raises(PipelineError, match="does not say which steps 1 there are"):
        ActiveAcquisition(acs_lines=8).open(Scan.from_xml(xml[:begin] + xml[stop:]))


def test_a_model_that_makes_images_chooses_no_lines():
    """And the other way round, which `KBandRecon` says."""
    with pytest.raises(PipelineError, match="'simulated_small' makes images, it chooses no lines"):
        ActiveAcquisition(model="simulated_small").look_up()


def test_feedback_survives_the_waveform():
    """uint32 on the wire: lines, scores in millionths, the stop, and both readouts."""
    told = Feedback((5, 9), 3, (0.25, 0.000002), False, 41, 43)
    waveform = ismrmrd.Waveform.from_bytes(told.waveform(7).to_bytes())
    assert waveform.data.tolist() == [[5, 9], [3, 3], [250000, 2], [0, 0], [41, 41]]
    assert (Feedback.read(waveform), waveform.waveform_id, waveform.measurement_uid) == (told, 1024, 7)
    stop = Feedback((), 0, (), True, 41, 42)
    assert Feedback.read(stop.waveform(7)) == stop
