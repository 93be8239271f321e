"""Slices excited at once that cannot be told apart, or of which something is missing: one sentence, and no less."""

import pytest

from gadgets.receiving.multiband_buffer import MultibandBuffer
from gadgets.scan import Scan
from tests.gadgets.multiband_scans import SINGLE, edited, images_of, simulated


@pytest.fixture
def lines():
    return list(simulated()[1])


def test_without_single_bands_there_is_one_sentence(lines):
    """No image can be made, and the scan says so."""
    images, error = images_of(lines[SINGLE:])
    assert images == []
    assert error == "MultibandBuffer: multiband 2: no single-band lines"


def test_a_slice_without_single_bands_is_named(lines):
    """Its group has no image, the other one has, and the scan ends with an error."""
    images, error = images_of([line for line in lines if line.encoding_space_ref == 0 or line.idx.slice != 3])
    assert {image.slice for image in images} == {0, 2}
    assert error == (
        "MultibandBuffer: no single-band lines of slice 3, so slices 1, 3, excited at once, cannot be told apart"
    )


def test_a_group_that_never_came_is_an_error(lines):
    """Fewer images than announced, and no word: never."""
    images, error = images_of([line for line in lines if line.encoding_space_ref or line.idx.slice == 0])
    assert {image.slice for image in images} == {0, 2}
    assert "1 of 2 images received lines; the first without any is slice 1" in error


def test_a_lost_line_makes_all_its_slices_incomplete(lines):
    """It was a line of each of them."""
    images, _ = images_of([*lines[: SINGLE + 10], *lines[SINGLE + 11 :]])
    complete = {image.slice: image.meta["kband_complete"] for image in images}
    assert complete == {0: "no", 2: "no", 1: "yes", 3: "yes"}


def test_a_late_single_band_line_is_set_aside(lines):
    """Its slice has been calibrated; nothing uses it, and that is told."""
    _, error = images_of([*lines[1:], lines[0]])
    assert "1 line set aside: single-band line: it came after its slice had been calibrated" in error


def test_few_single_band_lines_are_one_sentence(lines):
    """Of three rows no map is made."""
    few = [line for line in lines if line.encoding_space_ref == 0 or line.idx.kspace_encode_step_1 in (23, 24, 25)]
    _, error = images_of(few)
    assert error == "MultibandBuffer: 3 adjacent single-band lines of slices 0, 2, at least 4 expected"


def test_where_maps_fail_folded_slices_are_marked(lines):
    """Four rows are too few for ESPIRiT: the slices lie on top of one another, and every image says so."""
    few = [line for line in lines if line.encoding_space_ref == 0 or line.idx.kspace_encode_step_1 in range(22, 26)]
    images, _ = images_of(few)
    assert len(images) == 4
    assert all(image.meta["ImageComments"].startswith("FALLBACK folded slices") for image in images)


def test_positions_that_contradict_the_header_are_told(lines):
    """Slices 10 mm apart under a header of 20 mm: one of the two is wrong."""

    def farther(header):
        header.encoding[0].parallelImaging.multiband.spacing[0].dZ = [20.0]
        header.encoding[0].parallelImaging.multiband.deltaKz = 0.025

    images, _ = images_of(lines, edited(farther))
    assert "single-band slices lie 10 mm apart, the header says 20 mm" in images[0].meta["ImageComments"]


def _units(header):
    header.encoding[0].parallelImaging.multiband.deltaKz = 50.0


def _groups(header):
    header.encoding[0].parallelImaging.multiband.multiband_factor = 3


def _field_of_view(header):
    header.encoding[1].encodedSpace.fieldOfView_mm.y = 300.0


def _alone(header):
    header.encoding[0].parallelImaging = None


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_units, "deltaKz 50 × dZ 10 mm is 500 turns from line to line, -1 to 1 expected; set fov_shift"),
        (_groups, "4 slices cannot be excited 3 at once"),
        (_field_of_view, "encoding 1, which calibrates, has a field of view of 230 × 300 mm, encoding 0 of 230 × 230"),
        (_alone, "0 encodings excite several slices at once, 1 expected"),
    ],
)
def test_headers_that_cannot_be_are_refused_before_the_scan(edit, said):
    """One sentence, with the number."""
    with pytest.raises(ValueError, match=said):
        MultibandBuffer().open(Scan.from_xml(edited(edit)))
