"""How images lie in a picture: a swapped side is a wrong-side operation."""

import itertools

import ismrmrd
import numpy as np
import pytest

from pipelines.pictures.montage import Source, montage
from pipelines.pictures.orientation import Geometry, edge_letters, radiological, slice_position

L, P, H = np.eye(3)
# what a radiologist reads: directions to the right and down
AXIAL, CORONAL, SAGITTAL = (L, P), (L, -H), (P, -H)


def header(across=L, down=P, fov=(240, 120, 5), **others) -> ismrmrd.ImageHeader:
    made = ismrmrd.ImageHeader()
    made.read_dir, made.phase_dir, made.field_of_view = tuple(across), tuple(down), fov
    for name, value in others.items():
        setattr(made, name, value)
    return made


def letters_of(geometry: Geometry) -> str:
    found = edge_letters(geometry)
    return " ".join(found[edge] for edge in ("left", "right", "top", "bottom"))


@pytest.mark.parametrize(
    ("read_dir", "phase_dir", "letters"),
    [
        ((1, 0, 0), (0, 1, 0), "R L A P"),
        ((0, 1, 0), (0, 0, -1), "A P H F"),
        ((1, 0, 0), (0, 0, -1), "R L H F"),
        ((-1, 0, 0), (0, 1, 0), "L R A P"),
        ((1, 0, 0), (0, 0.99, 0.14), "R L A P"),
        ((0.8, 0.6, 0), (0, 0, -1), "RA LP H F"),
        ((0.5, 0, 0.866), (0, 1, 0), "FR HL A P"),
        ((0, 0, 0), (0, 0, 0), "   "),
    ],
    ids=["axial", "sagittal", "coronal", "mirrored", "slightly tilted", "oblique", "double letters", "no directions"],
)
def test_letters_name_the_sides_of_the_patient(read_dir, phase_dir, letters):
    """LPS: x grows to the left, y to the back, z to the head."""
    assert letters_of(Geometry(read_dir, phase_dir)) == letters


@pytest.mark.parametrize("plane", [AXIAL, CORONAL, SAGITTAL], ids=["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=2)))
@pytest.mark.parametrize("is_transposed", [False, True])
def test_however_it_is_stored_a_radiologist_reads_the_same(plane, signs, is_transposed):
    """Each of the eight ways to store a plane becomes the one that is expected, pixels, letters and size alike."""
    wanted = np.arange(6).reshape(2, 3)
    stored, across, down, fov = wanted, *plane, (3.0, 2.0)
    if signs[0] < 0:
        stored, across = stored[:, ::-1], -across
    if signs[1] < 0:
        stored, down = stored[::-1], -down
    if is_transposed:
        stored, across, down, fov = stored.T, down, across, fov[::-1]
    pixels, geometry = radiological(stored, Geometry(tuple(across), tuple(down), fov))
    assert pixels.tolist() == wanted.tolist()
    assert geometry.fov == (3.0, 2.0)
    assert letters_of(geometry) == letters_of(Geometry(*plane))


def test_an_oblique_plane_lies_as_the_nearest():
    """30° from axial towards coronal: left at the right, the front above, and letters that say both."""
    down = np.cos(np.pi / 6) * P - 0.5 * H
    pixels, geometry = radiological(np.array([[1, 2], [3, 4]]), Geometry(tuple(-L), tuple(-down)))
    assert pixels.tolist() == [[4, 3], [2, 1]]
    assert letters_of(geometry) == "R L AH PF"


@pytest.mark.parametrize("directions", [((0, 0, 0), (0, 0, 0)), ((1, 0, 0), (1, 0, 0)), ((np.nan, 0, 0), (0, 1, 0))])
def test_what_names_no_plane_stays_as_stored(directions):
    """Nobody can tell how it lies."""
    pixels, geometry = radiological(np.array([[1, 2], [3, 4]]), Geometry(*directions))
    assert pixels.tolist() == [[1, 2], [3, 4]]
    assert geometry.across == directions[0]


def test_a_picture_is_radiological_unless_as_stored():
    """The image of a head that lies on its face in the file."""
    upside_down = ismrmrd.Image.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), transpose=False)
    upside_down.setHead(header(-L, -P, data_type=ismrmrd.DATATYPE_FLOAT, matrix_size=(3, 2, 1), channels=1))
    for as_stored, first, right in ((False, 5, "L"), (True, 0, "R")):
        (axes,) = montage(Source("one", [upside_down]), as_stored=as_stored).axes
        assert axes.images[0].get_array()[0, 0] == first
        at = {text.get_text(): text.get_position() for text in axes.texts}
        assert at[right][0] > 0.9  # axes coordinates: 1 is the right edge
        assert "50 mm" in at


@pytest.mark.parametrize(
    ("plane", "position", "told"),
    [
        (AXIAL, (3, 4, 12.5), "H 12.5 mm"), (AXIAL, (3, 4, -12.54), "F 12.5 mm"), (AXIAL, (9, 9, 0.04), "0.0 mm"),
        (CORONAL, (0, -7, 5), "A 7.0 mm"), (SAGITTAL, (20, 0, 0), "L 20.0 mm"),
        ((L, np.cos(0.1) * P + np.sin(0.1) * H), (0, 0, 10), "H 10.0 mm"), ((0 * L, 0 * P), (0, 0, 10), ""),
    ],
)  # fmt: skip
def test_the_position_is_told_along_the_normal(plane, position, told):
    """As on a console: how far from the isocentre, and to which side; 10 mm at 6° are 9.95 mm."""
    assert slice_position(header(*plane, position=position)) == told
    assert slice_position(header(plane[0], -plane[1], position=position)) == told
