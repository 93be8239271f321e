"""Images that the header announces and that never came are told, whichever way the lines went."""

import pytest

from gadgets.errors import ScanError
from gadgets.items import ReconBuffer
from gadgets.receiving.buffer_intake import BufferIntake
from gadgets.receiving.expected_images import missing_images
from gadgets.receiving.image_lines import ImageKey
from gadgets.stock import AcquisitionAccumulateTrigger, BucketToBuffer
from tests.gadgets.streams import N_LINES, N_SAMPLES, buffer_of


def key(encoding=0, **counters):
    return ImageKey(encoding, *(counters.get(name, 0) for name in ImageKey._fields[1:]))


def lines(make_acquisition, *counters):
    return [
        make_acquisition(n_samples=N_SAMPLES, kspace_encode_step_1=row, **some)
        for some in counters
        for row in range(N_LINES)
    ]


def test_the_buffered_chain_tells_too(scan_of, make_acquisition):
    """Slice 1 of three got lost on its way through buckets: two images and an error."""
    scan, stream = scan_of(slice=3), lines(make_acquisition, {"slice": 0}, {"slice": 2})
    for gadget in (AcquisitionAccumulateTrigger(), BucketToBuffer(split_slices=True), BufferIntake(device="cpu")):
        gadget.open(scan)
        stream = gadget.process(stream)
    received = []
    with pytest.raises(ScanError) as error:
        received.extend(stream)
    assert [item.slice_counters() for item in received if isinstance(item, ReconBuffer)] == [[0], [2]]
    assert str(error.value) == "BufferIntake: 2 of 3 images received lines; the first without any is slice 1"


def test_an_encoding_without_images_is_logged(scan_of, make_acquisition, caplog):
    """It may have been announced for noise or navigators, which no buffer sees: no error."""
    with caplog.at_level("WARNING"):
        stream = buffer_of(scan_of(n_encodings=2)).process(lines(make_acquisition, {}))
        assert sum(isinstance(item, ReconBuffer) for item in stream) == 1
    assert "no image came of encoding 1" in caplog.text


def test_a_reference_scan_with_an_encoding_of_its_own(scan_of, make_acquisition):
    """Its lines calibrate only; in neither chain is an image of it missed."""
    reference = [
        make_acquisition(
            n_samples=N_SAMPLES, flags=[20], kspace_encode_step_1=row, header={"encoding_space_ref": 1}
        )
        for row in range(N_LINES)
    ]
    scan, stream = scan_of(n_encodings=2), [*reference, *lines(make_acquisition, {})]
    assert sum(isinstance(item, ReconBuffer) for item in buffer_of(scan).process(stream)) == 1
    for gadget in (AcquisitionAccumulateTrigger(), BucketToBuffer(), BufferIntake(device="cpu")):
        gadget.open(scan)
        stream = gadget.process(stream)
    assert [item.encoding.index for item in stream if isinstance(item, ReconBuffer)] == [0]


def test_where_the_header_sets_no_limit_what_was_seen_does(scan_of):
    """Three slices and two repetitions were seen, one of the six pairs never."""
    sent = {key(slice=number, repetition=repetition) for number in range(3) for repetition in range(2)}
    assert missing_images(scan_of(slice=3), sent) == []
    (sentence,) = missing_images(scan_of(slice=3), sent - {key(slice=1, repetition=1)})
    assert sentence == "5 of 6 images received lines; the first without any is slice 1, repetition 1"


def test_what_nobody_announced_is_not_missed(scan_of):
    """Set 1 was measured in repetition 0 alone, as a scan for calibration, and the header limits neither."""
    sent = {key(repetition=repetition) for repetition in range(3)} | {key(set=1)}
    assert missing_images(scan_of(), sent) == []


def test_a_scan_without_images_says_no_more_than_that(scan_of):
    """Not one sentence for each encoding."""
    assert missing_images(scan_of(n_encodings=2), set()) == ["no imaging lines arrived, so there is no image"]
