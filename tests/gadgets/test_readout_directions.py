"""Rows of one matrix are read in one direction: blades that turn are refused, noise of directions is not."""

from math import cos, radians, sin

import pytest

from gadgets.errors import ScanError
from tests.gadgets.streams import N_LINES, images


@pytest.fixture
def turned(make_acquisition, kspace):
    """Lines whose readout turns by so many degrees from each to the next."""

    def make(step=0.0, start=0.0, **counters):
        for row in range(N_LINES):
            angle = radians(start + step * row)
            direction = {"read_dir": (cos(angle), sin(angle), 0.0), "phase_dir": (-sin(angle), cos(angle), 0.0)}
            yield make_acquisition(kspace[:, row], header=direction, kspace_encode_step_1=row, **counters)

    return make


def test_blades_are_refused_in_one_sentence(scan_of, turned):
    """PROPELLER in Cartesian clothes: the sentence names slice, angle and what would be needed."""
    said = r"^AcquisitionBuffer: readouts turn by 22\.5° within the image of slice 2, .* trajectory .* would be needed$"
    with pytest.raises(ScanError, match=said):
        images(scan_of(slice=3), turned(22.5, slice=2))


def test_directions_are_rounded(scan_of, turned):
    """1e-3, as converters write them, and the corrections of a moving head turn nothing."""
    assert len(images(scan_of(), turned(0.06))) == 1


def test_each_image_has_an_orientation_of_its_own(scan_of, turned):
    """Slices, and repetitions of an interactive scan, may lie across one another."""
    lines = [*turned(slice=0), *turned(start=90, slice=1), *turned(start=45, slice=0, repetition=1)]
    lines += turned(start=135, slice=1, repetition=1)
    assert len(images(scan_of(slice=2), lines)) == 4


def test_lines_without_a_direction_pass(scan_of, make_acquisition, kspace):
    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(N_LINES)]
    assert len(images(scan_of(), lines)) == 1
