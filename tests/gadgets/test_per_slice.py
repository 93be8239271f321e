"""What calibration lines give is computed once for each slice, failures included."""

from dataclasses import replace

import pytest
import torch

from gadgets.coils.per_slice import PerSlice
from gadgets.items import Calibration
from tests.gadgets.streams import images


@pytest.fixture
def buffer(scan_of, make_acquisition, kspace):
    """An image of slice 0 with calibration lines."""
    (made,) = images(scan_of(), [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(8)])
    return made


def calibration(buffer, acs=None):
    return Calibration(buffer.acs[0] if acs is None else acs, (8, 6), buffer.encoding, 0)


def test_result_of_the_calibration_serves_the_image(buffer):
    """Equal calibration lines: computed once, ahead."""
    calls = []
    per_slice = PerSlice("Test", lambda acs, *_: calls.append(acs) or acs.sum((-3, -2, -1)))
    per_slice.prepare(calibration(buffer))
    assert torch.equal(per_slice.of(buffer)[0], buffer.acs[0].sum((-3, -2, -1)))
    assert len(calls) == 1


def test_other_calibration_lines_are_computed_anew(buffer):
    """A repetition with calibration lines of its own must not get the maps of another."""
    per_slice = PerSlice("Test", lambda acs, *_: acs.sum((-3, -2, -1)))
    per_slice.prepare(calibration(buffer, 2 * buffer.acs[0]))
    assert torch.equal(per_slice.of(buffer)[0], buffer.acs[0].sum((-3, -2, -1)))


def test_encoding_of_another_field_of_view_is_never_served(scan_of, buffer):
    """The same slice number and the same lines, of another matrix: coils look different there."""
    other = scan_of(n_encodings=2).encodings[1]
    per_slice = PerSlice("Test", lambda acs, encoding, matrix: [encoding.index])
    per_slice.prepare(calibration(buffer))
    assert per_slice.of(replace(buffer, encoding=other)) == [1]
    assert per_slice.of(buffer) == [0]


def test_failure_is_kept(buffer):
    """What took its time to fail does not take it again before the image."""
    calls = []

    def fails(*_):
        calls.append(1)
        raise ValueError("too slow")

    per_slice = PerSlice("Test", fails)
    per_slice.prepare(calibration(buffer))
    with pytest.raises(ValueError, match="too slow"):
        per_slice.of(buffer)
    assert calls == [1]
