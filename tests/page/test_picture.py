"""An image in the browser says what it is, and lies as a radiologist expects it."""

import io

import ismrmrd
import numpy as np
import pytest
from PIL import Image

from pipelines.page.picture import LARGEST, picture
from pipelines.protocol.messages import encode_image

AXIAL = {"read_dir": (1, 0, 0), "phase_dir": (0, 1, 0), "slice_dir": (0, 0, 1), "field_of_view": (240, 180, 5)}


def shown(pixels: np.ndarray, meta: dict[str, str] | None = None, **header) -> tuple[dict, np.ndarray]:
    image = ismrmrd.Image.from_array(pixels, transpose=False)
    for name, value in {**AXIAL, **header}.items():
        setattr(image, name, value)
    if meta:
        image.attribute_string = ismrmrd.Meta(meta).serialize()
    about, png = picture(encode_image(image))
    return about, np.asarray(Image.open(io.BytesIO(png)))


RAMP = np.arange(6 * 8, dtype=np.uint16).reshape(6, 8) * 10


def test_the_images_own_window_is_used():
    """What the pipeline, or a physicist, has chosen: black at 100, white at 300."""
    _, grey = shown(RAMP, {"WindowCenter": "200", "WindowWidth": "200"})
    expected = np.round(255 * np.clip((RAMP - 100.0) / 200.0, 0, 1))
    assert np.array_equal(grey, expected)


def test_sides_are_named_and_turned():
    """Read from left to right of the patient reversed: the picture is mirrored back, the letters are the same."""
    straight, grey = shown(RAMP)
    turned, mirrored = shown(RAMP[:, ::-1].copy(), read_dir=(-1, 0, 0))
    assert straight["letters"] == turned["letters"] == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    assert np.array_equal(grey, mirrored)


def test_pixels_keep_their_shape():
    """A field of view of 240 by 180 mm, whatever the matrix."""
    assert shown(RAMP)[0]["shape"] == pytest.approx(240 / 180)


MARKS = {
    "FALLBACK: GRAPPA failed": {"kband_fallback": "GRAPPA failed"},
    "INCOMPLETE: 23 of 24 lines": {"kband_complete": "no", "kband_lines": "23 of 24"},
    "INCONSISTENT: motion": {"kband_consistency": "motion"},
}


@pytest.mark.parametrize("mark", MARKS)
def test_flaws_are_marked(mark):
    """In words, and of the kind that the page draws in red."""
    assert (mark, "bad") in shown(RAMP, MARKS[mark])[0]["label"]


def test_maps_are_coloured():
    """Nobody takes g for anatomy."""
    _, colours = shown(1 + RAMP.astype(np.float32), {"kband_quantity": "g"})
    assert colours.shape == (6, 8, 3)


def test_large_images_become_small():
    """A browser shows 220 pixels of them."""
    _, grey = shown(np.ones((700, 900), np.float32))
    assert max(grey.shape) == LARGEST


def test_pixels_that_are_no_numbers_are_shown_black_and_said():
    """A picture must not fail where an image does."""
    pixels = RAMP.astype(np.float32)
    pixels[0, 0] = np.nan
    about, grey = shown(pixels)
    assert grey[0, 0] == 0
    assert ("1 pixel is no number", "bad") in about["label"]
