"""The picture of an image file: nothing wrong with an image may be overlooked, nothing right mistaken."""

import ismrmrd
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.image import imread

from pipelines.commands.view import view
from pipelines.files.mrd_file import ImageFile, write_raw
from pipelines.pictures.image_panel import comparison_panels, image_panel
from pipelines.pictures.montage import Source, beside_references, montage
from pipelines.pictures.panel import AMBER, RED

GOOD = {"kband_method": "network knee_kband", "kband_fallback": "no", "kband_complete": "yes"}
AXIAL = {"read_dir": (1, 0, 0), "phase_dir": (0, 1, 0), "field_of_view": (240, 240, 5)}


def image(pixels=None, meta=GOOD, **header) -> ismrmrd.Image:
    pixels = np.add.outer(np.arange(16), np.arange(24)).astype(np.float32) if pixels is None else pixels
    made = ismrmrd.Image.from_array(pixels, transpose=False, **{"image_type": 1, **AXIAL, **header})
    made.meta = dict(meta)
    return made


def texts(figure, colour=None) -> str:
    chosen = [text.get_text() for text in figure.texts if colour in (None, text.get_color())]
    return " ".join(chosen).replace("\u00a0", " ")


def test_fallback_and_missing_lines_are_red():
    """A fallback image is never indistinguishable from a network image."""
    fallback = image(meta={**GOOD, "kband_fallback": "no model for 12 coils"})
    incomplete = image(meta={**GOOD, "kband_complete": "no", "kband_lines": "85 of 86"})
    figure = montage(Source("three", [fallback, incomplete, image()]))
    red = texts(figure, RED)
    assert "FALLBACK: no model for 12 coils" in red
    assert "INCOMPLETE: 85 of 86 lines" in red
    assert [len(axes.patches) for axes in figure.axes] == [1, 1, 0]


def test_the_error_that_held_out_lines_tell_is_shown():
    """Below the method, with the number of lines, which tells how far to trust it."""
    judged = image(meta={**GOOD, "kband_nmse_estimate": "0.01508", "kband_held_out_lines": "24"})
    figure = montage(Source("two", [judged, image()]))
    assert sum("NMSE about" in text.get_text() for text in figure.texts) == 1
    assert "NMSE about 0.015 by 24 held-out lines" in " ".join(text.get_text() for text in figure.texts)


def test_less_denoising_than_what_the_model_would_do_is_shown():
    """Two images of one scan and one model differ by it."""
    told = image(meta={**GOOD, "kband_denoising": "0.5"})
    figure = montage(Source("two", [told, image()]))
    assert [text.get_text() for text in figure.texts if "denoising 0.5" in text.get_text()]
    assert texts(figure).count("denoising") == 1


def test_the_bound_of_the_error_is_shown():
    """With the share of scans that keep it: it is no certainty."""
    figure = montage(Source("", [image(meta={**GOOD, "kband_nmse_bound": "0.0123", "kband_nmse_bound_level": "0.9"})]))
    assert "NMSE ≤ 0.0123 with 90 %" in " ".join(text.get_text() for text in figure.texts)


def test_good_image_has_nothing_in_red():
    """Red is for what is wrong, or it will not be seen."""
    figure = montage(Source("one", [image(slice=2, contrast=1, repetition=3, image_series_index=4)]))
    assert texts(figure, RED) == ""
    assert "series 4 · slice 2 · contrast 1 · repetition 3" in texts(figure)
    assert "network knee_kband" in texts(figure)


def test_unknown_completeness_is_amber():
    """Where the header cannot tell how many lines belong to an image, the picture says so."""
    figure = montage(Source("", [image(meta={"kband_complete": "unknown", "kband_lines": "24 of an unknown number"})]))
    assert "24 of an unknown number of lines" in texts(figure)
    assert "not known whether all lines arrived" in texts(figure, AMBER)


def test_pixels_that_are_not_numbers_are_red():
    """NaN is drawn as nothing, and would pass for air."""
    pixels = np.ones((8, 8), np.float32)
    pixels[0, :3] = np.nan
    assert "3 pixels are not numbers" in texts(montage(Source("", [image(pixels)])), RED)
    pixels[0, 1:] = 1
    assert "1 pixel is no number" in texts(montage(Source("", [image(pixels)])), RED)


def test_window_is_that_of_the_meta_or_of_the_percentiles():
    """The label says which; a bad window in the meta does not hide the image."""
    given = image_panel(image(meta={"WindowCenter": "10", "WindowWidth": "4"}))
    assert given.window == (8, 12)
    assert "centre 10, width 4 (meta)" in given.label[2][0]
    for meta in ({}, {"WindowCenter": "wide", "WindowWidth": "4"}):
        own = image_panel(image(meta=meta))
        assert own.window == (0, pytest.approx(np.percentile(image().data, 99.5)))
        assert "0–99.5" in own.label[2][0]


def test_pixels_keep_their_shape():
    """24 x 16 pixels of 240 x 240 mm are not square; the picture is."""
    axes = montage(Source("", [image()])).axes[0]
    assert axes.images[0].get_extent() == [0, 240, 240, 0]
    assert axes.get_aspect() == 1
    wide = montage(Source("", [image(field_of_view=(240, 120, 5))])).axes[0].get_window_extent()
    assert wide.width / wide.height == pytest.approx(2, rel=0.01)


def test_complex_is_magnitude_and_phase_is_cyclic():
    """±π is one and the same phase, and must have one colour."""
    value = np.full((8, 8), 3 + 4j, np.complex64)
    assert np.all(image_panel(image(value, image_type=ismrmrd.IMTYPE_COMPLEX)).pixels == 5)
    phase = image_panel(image(np.angle(value), image_type=ismrmrd.IMTYPE_PHASE))
    assert (phase.cmap, phase.window) == ("twilight", (-np.pi, np.pi))
    stored = image_panel(image(value.real.astype(np.uint16), image_type=ismrmrd.IMTYPE_PHASE))
    assert stored.window == (0, 4095)


def test_many_images_are_chosen_evenly():
    """A picture of 200 images shows 64 of them, from the first to the last, and says so."""
    figure = montage(Source("scan", [image(repetition=n) for n in range(200)]))
    assert len(figure.axes) == 64
    assert "64 of 200 images, evenly chosen" in texts(figure)
    assert "repetition 0 " in texts(figure)
    assert "repetition 199" in texts(figure)


def test_comparison_forgives_one_factor_and_no_more():
    """Scanners scale freely: 3 x the reference is the reference; noise of 10 % is an NRMSE of 0.1."""
    reference = image(np.random.default_rng(0).random((64, 64), np.float32) + 1)
    scaled, target, difference = comparison_panels(image(3 * reference.data[0, 0]), reference)
    np.testing.assert_allclose(scaled.pixels, target.pixels, rtol=1e-5)
    assert np.abs(difference.pixels).max() < 1e-4
    assert "× 5 · NRMSE 0.000 · SSIM 1.000" in difference.label[0][0]
    assert "one least-squares scale factor, 0.3333" in difference.label[1][0]
    truth = reference.data[0, 0]
    noise = np.random.default_rng(1).standard_normal(truth.shape).astype(np.float32)
    noise *= 0.1 * np.linalg.norm(truth) / np.linalg.norm(noise)
    assert "NRMSE 0.100" in comparison_panels(image(truth + noise), reference)[2].label[0][0]


def test_comparison_keeps_the_red_label():
    """A fallback stays visible beside its reference."""
    figure = beside_references([Source("one", [image(meta={**GOOD, "kband_fallback": "GPU full"})])], [image()], "scan")
    assert "FALLBACK: GPU full" in texts(figure, RED)
    assert len(figure.axes) == 3


def test_command_draws_a_png(tmp_path):
    """The picture has a panel of at least 256 pixels for each image, and its place is printed."""
    with ImageFile(tmp_path / "images.h5", "<ismrmrdHeader/>") as file:
        for n in range(4):
            file.append(image(slice=n))
    result = CliRunner().invoke(view, [str(tmp_path / "images.h5"), "-o", str(tmp_path / "out.png")])
    assert result.exit_code == 0, result.output
    assert result.output == f"{tmp_path / 'out.png'}: 4 images\n"
    height, width, _ = imread(tmp_path / "out.png").shape
    assert 512 < width < height < 3000


def test_command_compares_with_a_simulated_scan(tmp_path):
    """`--reference` takes the reference of the same slice; a slice without one, or of another size, is an error."""
    images, scan, out = tmp_path / "images.h5", tmp_path / "scan.h5", tmp_path / "images.png"
    with ImageFile(images, "<ismrmrdHeader/>") as file:
        file.append(image(slice=1))
    line = ismrmrd.Acquisition.from_array(np.zeros((1, 4), np.complex64))

    def compare(*references: ismrmrd.Image) -> str:
        write_raw(scan, "<ismrmrdHeader/>", [line], reference=references, overwrite=True)
        return CliRunner().invoke(view, [str(images), "--reference", str(scan)]).output

    assert compare() == f"Error: {scan}: no reference images; only simulated scans have them\n"
    assert compare(image()) == "Error: slice 1 has no reference; slices with one are [0]\n"
    small = image(np.ones((8, 8), np.float32), slice=1)
    assert compare(small) == "Error: slice 1: the image has 16 x 24 pixels (y, x), but its reference 8 x 8\n"
    assert not out.exists()
    assert compare(image(slice=1)) == f"{out}: 1 image\n"
    assert out.exists()


def test_command_fails_in_one_sentence(tmp_path):
    """A missing file, and a picture that would overwrite the images."""
    images = tmp_path / "images.h5"
    missing = CliRunner().invoke(view, [str(images)])
    assert (missing.exit_code, missing.output) == (1, f"Error: {images}: no such file\n")
    wrong = CliRunner().invoke(view, [str(images), "-o", str(images)])
    sentence = f"Error: {images}: the picture is a PNG; give it a name that ends in .png\n"
    assert (wrong.exit_code, wrong.output) == (1, sentence)


def test_slices_stand_in_order_and_share_a_window():
    """A slice of air beside one of brain must not look as bright; one that a meta windows keeps its own."""
    images = [image(np.full((16, 24), 100.0 - 10 * n, np.float32), slice=n) for n in (2, 0, 1)]
    drawn = montage(Source("", images))
    assert [axes.images[0].get_array().max() for axes in drawn.axes] == [100, 90, 80]
    assert {axes.images[0].get_clim() for axes in drawn.axes} == {(80, 100)}


def test_a_picture_is_not_replaced_unasked(tmp_path):
    """It may be the one that was annotated; where nobody can be asked, --overwrite says so."""
    with ImageFile(tmp_path / "images.h5", "<ismrmrdHeader/>") as file:
        file.append(image())
    arguments = [str(tmp_path / "images.h5")]
    (tmp_path / "images.png").write_text("mine")
    again = CliRunner().invoke(view, arguments)
    assert again.exit_code == 1
    assert "images.png: exists already" in again.output
    assert (tmp_path / "images.png").read_text() == "mine"
    assert CliRunner().invoke(view, [*arguments, "--overwrite"]).exit_code == 0
