"""Twins of the stock gadgets that bring image arrays to integer images."""

import logging

import ismrmrd
import numpy as np
import pytest
import torch

from gadgets.errors import PipelineError, ScanError
from gadgets.items import ImageArray
from gadgets.stock import AutoScale, ComplexToFloat, Extract, FloatToUShort, ImageArraySplit, ImageFinish

MAGNITUDE, PHASE, REAL, IMAG, COMPLEX = 1, 2, 3, 4, 5


def one(gadget, image):
    (out,) = gadget.process([image])
    return out


@pytest.fixture
def complex_image(make_image):
    """The numbers 3+4i, −1 and 2i, whose parts are known by heart."""

    def make(image_type=0, **header):
        pixels = np.array([[3 + 4j, -1, 2j]], np.complex64)
        return make_image(pixels, {"EchoTime": "4.2"}, image_type=image_type, **header)

    return make


def ramp(n=1000):
    return np.arange(1, n + 1, dtype=np.float32).reshape(10, -1)


def test_array_is_split_slices_first_then_s_then_n():
    """Order, header, meta and pixels [channel z y x] of each image; the receiver counts on the order."""
    shape = (2, 3, 2)
    data = torch.arange(2 * 3 * 2 * 2 * 1 * 4 * 5).reshape(*shape, 2, 1, 4, 5).to(torch.complex64)
    headers, meta = np.empty(shape, object), np.empty(shape, object)
    for slice_, s, n in np.ndindex(shape):
        headers[slice_, s, n] = ismrmrd.ImageHeader(slice=slice_, set=s, repetition=n, image_index=100)
        meta[slice_, s, n] = ismrmrd.Meta({"where": f"{slice_} {s} {n}"})
    images = list(ImageArraySplit().process([ImageArray(data, headers, meta)]))
    order = [(slice_, s, n) for slice_ in range(2) for s in range(3) for n in range(2)]
    assert [(image.slice, image.set, image.repetition) for image in images] == order
    for image, index in zip(images, order, strict=True):
        assert image.meta["where"] == "{} {} {}".format(*index)
        assert np.array_equal(image.data, data[index].numpy())
        head = image.getHead()
        assert (tuple(head.matrix_size), head.channels, head.image_index) == ((5, 4, 1), 2, 100)
        assert image.data.dtype == np.complex64


def test_split_image_survives_the_wire():
    """Header, pixels and meta agree in size: an image written and read again is the same."""
    headers, meta = np.empty((1, 1, 1), object), np.empty((1, 1, 1), object)
    headers[0, 0, 0] = ismrmrd.ImageHeader()
    data = torch.randn(1, 1, 1, 1, 1, 4, 5, dtype=torch.complex64)
    image = one(ImageArraySplit(), ImageArray(data, headers, meta))
    again = ismrmrd.Image.from_bytes(image.to_bytes())
    assert np.array_equal(again.data, image.data)


@pytest.mark.parametrize(
    ("image_type", "expected"),
    [
        (MAGNITUDE, [5, 1, 2]),
        (PHASE, [np.arctan2(4, 3), np.pi, np.pi / 2]),
        (REAL, [3, -1, 0]),
        (IMAG, [4, 0, 2]),
        (0, [5, 1, 2]),
        (COMPLEX, [5, 1, 2]),
    ],
)
def test_header_says_which_part_of_a_complex_image(image_type, expected, complex_image):
    """Parts of 3+4i, −1 and 2i; an unset type is made a magnitude image, and says so."""
    out = one(ComplexToFloat(), complex_image(image_type, slice=3))
    assert out.data.dtype == np.float32
    np.testing.assert_allclose(out.data.ravel(), expected, rtol=1e-6)
    assert out.image_type == (image_type if image_type in (MAGNITUDE, PHASE, REAL, IMAG) else MAGNITUDE)
    assert (out.getHead().data_type, out.slice, out.meta["EchoTime"]) == (ismrmrd.DATATYPE_FLOAT, 3, "4.2")


@pytest.mark.parametrize("gadget", [ComplexToFloat(), Extract(), ImageFinish(), ImageArraySplit()])
def test_real_images_pass_unchanged(gadget, make_image):
    """As in the stock gadgets, which take complex images only and let others by."""
    image = make_image(ramp(), image_type=MAGNITUDE)
    assert one(gadget, image) is image


def test_extract_sends_one_series_per_part(complex_image):
    """Series +0, +3000, +1000, +2000 for magnitude, phase (0 to 2π), real and imaginary part."""
    parts = dict.fromkeys(("extract_phase", "extract_real", "extract_imag"), "true")
    gadget = Extract.from_properties({**parts, "real_imag_offset": "10"})
    images = list(gadget.process([complex_image(image_series_index=2)]))
    assert [(image.image_type, image.image_series_index) for image in images] == [
        (MAGNITUDE, 2), (PHASE, 3002), (REAL, 1002), (IMAG, 2002)
    ]  # fmt: skip
    expected = [[5, 1, 2], np.array([np.arctan2(4, 3), np.pi, np.pi / 2]) + np.pi, [13, 9, 10], [14, 10, 12]]
    for image, pixels in zip(images, expected, strict=True):
        assert image.data.dtype == np.float32
        np.testing.assert_allclose(image.data.ravel(), pixels, rtol=1e-6)
        assert image.meta["EchoTime"] == "4.2"


@pytest.mark.parametrize(("mask", "types"), [("1", [1]), ("2", [3]), ("4", [4]), ("8", [2]), ("15", [1, 2, 3, 4])])
def test_extract_mask_is_a_sum_of_parts(mask, types, complex_image):
    """Magnitude 1, real 2, imaginary 4, phase 8."""
    gadget = Extract.from_properties({"extract_mask": mask, "extract_magnitude": "false"})
    assert [image.image_type for image in gadget.process([complex_image()])] == types


def test_extract_of_nothing_is_refused(minimal_scan):
    """An exam without images is found out before the scan."""
    with pytest.raises(PipelineError, match="ExtractGadget: no part of the image to extract"):
        Extract(extract_magnitude=False).open(minimal_scan())


@pytest.mark.parametrize("size", [1.0, 1e-6, 1e30])
def test_autoscale_brings_the_99th_percentile_to_2048(size, make_image):
    """900 pixels of 305, 95 of 605, 5 of 1000, in bins of 10: bin 60 (counted from 0) holds the 990th.

    The stock's limit is one bin above the upper edge of that bin, 620: hence 2048/620, however small the values.
    """
    pixels = np.repeat(np.float32([305, 605, 1000]), [900, 95, 5]).reshape(10, 100)
    out = one(AutoScale(), make_image(pixels * np.float32(size), image_type=MAGNITUDE))
    assert out.data.dtype == np.float32
    np.testing.assert_allclose(out.data[0, 0], pixels * 2048 / 620, rtol=1e-5)


def test_autoscale_is_not_led_by_a_bright_spot(make_image):
    """990 pixels of 10 and 10 of 1000: the 99th percentile is in bin 1, the limit at 3 bins of 10."""
    pixels = np.full(1000, 10.0, np.float32)
    pixels[:10] = 1000
    out = one(AutoScale(max_value=300), make_image(pixels.reshape(10, 100), image_type=MAGNITUDE))
    np.testing.assert_allclose(np.unique(out.data), [100, 10000])


@pytest.mark.parametrize("image_type", [0, PHASE, REAL, IMAG])
def test_autoscale_leaves_other_types_alone(image_type, make_image):
    """Phase is in radians; scaled it would mean nothing."""
    image = make_image(ramp(), image_type=image_type)
    assert one(AutoScale(), image) is image


def test_autoscale_passes_an_image_of_zeros(make_image, caplog):
    """No brightest pixel to divide by; a black image is worth a warning."""
    image = make_image(np.zeros((4, 4), np.float32), image_type=MAGNITUDE, image_index=7)
    with caplog.at_level(logging.WARNING):
        assert one(AutoScale(), image) is image
    assert "image 7 of series 0 is zero everywhere" in caplog.text


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("gadget", [AutoScale(), FloatToUShort()])
def test_non_finite_pixels_are_an_error(gadget, bad, make_image):
    """As an integer, NaN is 0: it would look like black tissue."""
    pixels = ramp()
    pixels[0, :2] = bad
    image = make_image(pixels, image_type=MAGNITUDE, image_index=3, image_series_index=1)
    message = rf"^{gadget.label()}: image 3 of series 1 has 2 of 1000 pixels that are not finite$"
    with pytest.raises(ScanError, match=message):
        one(gadget, image)


@pytest.mark.parametrize(
    ("image_type", "pixels", "expected"),
    [
        (MAGNITUDE, [0, 0.4, 2.5, 3.5, 4094.6, 5000, -7], [0, 0, 3, 4, 4095, 4095, 7]),
        (REAL, [-3000, -2048, -0.4, 0, 1.5, 3000], [0, 0, 2048, 2048, 2050, 4095]),
        (IMAG, [-1, 1], [2047, 2049]),
        (PHASE, [-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi], [0, 1024, 2048, 3072, 4095]),
    ],
)
def test_integers_are_clamped_then_rounded(image_type, pixels, expected, make_image):
    """Halves go away from zero; only signed parts and phase are lifted to 2048."""
    out = one(FloatToUShort(), make_image(np.array([pixels], np.float32), image_type=image_type))
    assert out.data.dtype == np.uint16
    assert out.data.ravel().tolist() == expected
    assert out.getHead().data_type == ismrmrd.DATATYPE_USHORT


def test_range_of_integers_is_a_property(make_image):
    """min and max clamp before rounding."""
    gadget = FloatToUShort.from_properties({"max_intensity": "1000", "min_intensity": "10", "intensity_offset": "500"})
    pixels = np.array([[-600, 0, 600]], np.float32)
    assert one(gadget, make_image(pixels, image_type=REAL)).data.ravel().tolist() == [10, 500, 1000]


def test_range_upside_down_is_refused(minimal_scan):
    """All pixels would be equal."""
    with pytest.raises(PipelineError, match="min_intensity 100 is above max_intensity 10"):
        FloatToUShort(min_intensity=100, max_intensity=10).open(minimal_scan())


@pytest.mark.parametrize(("image_type", "center"), [(REAL, "2088"), (MAGNITUDE, "40")])
def test_window_moves_with_the_pixels(image_type, center, make_image):
    """A window set for the real part must still show it after the lift; other meta stay, and so does the input's."""
    meta = {"GADGETRON_WindowCenter": "40", "WindowCenter": "40", "GADGETRON_WindowWidth": "80"}
    image = make_image(ramp(), meta, image_type=image_type)
    out = one(FloatToUShort(), image)
    assert out.meta == {"GADGETRON_WindowCenter": center, "WindowCenter": center, "GADGETRON_WindowWidth": "80"}
    assert image.meta == meta


def test_window_that_is_no_number_is_an_error(make_image):
    """It cannot be moved, and the image would be shown wrongly."""
    with pytest.raises(ScanError, match=r"WindowCenter in an image's meta is 'wide', not a number"):
        one(FloatToUShort(), make_image(ramp(), {"WindowCenter": "wide"}, image_type=REAL))


def test_unknown_type_has_no_integer_form(make_image):
    """Where zero is to go depends on the type."""
    with pytest.raises(ScanError, match="image 2 of series 0 has image type 0, expected 1"):
        one(FloatToUShort(), make_image(ramp(), image_index=2))


def test_whole_chain_keeps_input_and_header(complex_image):
    """From a complex image to integers: position, index and meta arrive; the input is as before."""
    image = complex_image(position=(1.0, 2.0, 3.0), image_index=9)
    before = ismrmrd.Image.from_bytes(image.to_bytes())
    items = [image]
    for gadget in (ComplexToFloat(), AutoScale(), FloatToUShort(), ImageFinish()):
        items = gadget.process(items)
    (out,) = items
    assert (tuple(out.position), out.image_index, out.meta["EchoTime"]) == ((1.0, 2.0, 3.0), 9, "4.2")
    assert np.array_equal(image.data, before.data)
    assert image.getHead().image_type == 0
