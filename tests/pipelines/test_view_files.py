"""Several image files in one picture, and what their headers and maps tell."""

import ismrmrd
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.image import imread

from pipelines.commands.view import view
from pipelines.files.file_header import protocol_name
from pipelines.files.mrd_file import ImageFile
from pipelines.pictures.comparison import values_shown
from pipelines.pictures.montage import Source, montage, side_by_side
from pipelines.pictures.panel import AMBER
from tests.pipelines.test_view import image, texts

HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><measurementInformation>
<patientPosition>HFS</patientPosition><protocolName> t1_tse_tra </protocolName></measurementInformation>
</ismrmrdHeader>"""


def flat(value: float, method: str, **header) -> ismrmrd.Image:
    return image(np.full((16, 24), value, np.float32), {"kband_method": method}, **header)


def gfactor(value: int, **header) -> ismrmrd.Image:
    """A map as it leaves the chain: 2,048 is 0, a step is 0.01; the upper half has no value."""
    pixels = np.full((16, 24), 2048 + value, np.uint16)
    pixels[:8] = 2048
    meta = {"kband_method": "RAKI", "kband_quantity": "g-factor", "RescaleSlope": "0.01", "RescaleIntercept": "-20.48"}
    return image(pixels, meta, image_type=ismrmrd.IMTYPE_REAL, image_series_index=11, **header)


def test_the_same_slice_of_all_files_stands_in_one_row():
    """Files in columns, slices in rows, whatever their order and series; each column says what made it."""
    one = Source("sense.h5", [flat(10, "SENSE", slice=n) for n in (1, 0)])
    other = Source("raki.h5", [flat(20 + n, "RAKI", slice=n, image_series_index=101) for n in (0, 1)])
    figure = side_by_side([one, other])
    assert [axes.images[0].get_array()[0, 0] for axes in figure.axes] == [10, 20, 10, 21]
    assert {axes.images[0].get_clim() for axes in figure.axes} == {(10, 21)}
    assert texts(figure).startswith("sense.h5 beside raki.h5")
    assert texts(figure).count("SENSE · sense.h5") == texts(figure).count("RAKI · raki.h5") == 2


def test_one_window_even_where_metas_have_their_own():
    """Side by side, brightness must mean the same."""
    bright = flat(30, "SENSE")
    bright.meta = {**bright.meta, "WindowCenter": "30", "WindowWidth": "2"}
    figure = side_by_side([Source("a", [bright]), Source("b", [flat(10, "RAKI")])])
    assert {axes.images[0].get_clim() for axes in figure.axes} == {(10, 30)}


def test_what_a_file_lacks_is_said():
    """A slice that did not come must not let the next one take its place."""
    figure = side_by_side([Source("a", [flat(1, "SENSE", slice=n) for n in (0, 1)]),
                           Source("b", [flat(2, "RAKI", slice=1)])])  # fmt: skip
    assert texts(figure, AMBER) == "no such image in b"
    assert np.isnan(figure.axes[1].images[0].get_array().filled(np.nan)).all()


def test_no_image_of_a_file_is_lost_beside_another():
    """Two encodings have the same counters, and series of their own."""
    two = [flat(1, "SENSE", image_series_index=1), flat(2, "SENSE", image_series_index=2)]
    assert len(side_by_side([Source("a", two), Source("b", two)]).axes) == 4


def test_maps_have_a_bar_with_their_unit():
    """A colour is no number; the values are those of the meta's rescale, and share a window over slices."""
    figure = montage(Source("g", [gfactor(100, slice=0), gfactor(300, slice=1)]))
    for axes in figure.axes:
        (bar,) = axes.child_axes
        assert bar.get_ylim() == pytest.approx((1, 3))
        assert "g-factor" in [text.get_text() for text in axes.texts]
    t2 = gfactor(100)
    t2.meta = {**t2.meta, "kband_quantity": "T2", "RescaleType": "ms"}
    assert "T2 (ms)" in [text.get_text() for text in montage(Source("t2", [t2])).axes[0].texts]
    assert not montage(Source("one", [flat(1, "SENSE")])).axes[0].child_axes


def test_maps_with_a_sign_are_shown_below_zero():
    """A field of -2 Hz is a value; of maps without a sign 0 is none, as in the upper half here."""
    assert np.nanmin(values_shown(gfactor(-200))) == pytest.approx(-2)
    assert np.isfinite(values_shown(gfactor(-200))).all()
    assert np.isnan(values_shown(gfactor(200))).mean() == 0.5


def test_protocol_and_position_are_told(tmp_path):
    """Which slice of which protocol it is, in the words of the console."""
    with ImageFile(tmp_path / "images.h5", HEADER) as file:
        file.append(image(position=(0, 0, -17.5)))
    assert protocol_name(tmp_path / "images.h5") == "t1_tse_tra"
    shown = texts(montage(Source("images.h5", [image(position=(0, 0, -17.5))], "t1_tse_tra")))
    assert "F 17.5 mm" in shown
    assert "t1_tse_tra" in shown


@pytest.mark.parametrize("header", ["<ismrmrdHeader/>", "no xml", HEADER.replace("protocolName", "seriesDescription")])
def test_a_header_without_a_protocol_names_none(header, tmp_path):
    """The picture is drawn all the same."""
    with ImageFile(tmp_path / "images.h5", header) as file:
        file.append(image())
    assert protocol_name(tmp_path / "images.h5") == ""


def test_command_draws_files_side_by_side(tmp_path):
    """Two files, two columns; the picture stands beside the first."""
    paths = [tmp_path / f"{name}.h5" for name in ("a", "b")]
    for path in paths:
        with ImageFile(path, HEADER) as file:
            for n in range(2):
                file.append(image(slice=n))
    result = CliRunner().invoke(view, list(map(str, paths)))
    assert result.output == f"{tmp_path / 'a.png'}: 4 images\n"
    height, width, _ = imread(tmp_path / "a.png").shape
    assert abs(height - width) < 0.3 * width
    lost = CliRunner().invoke(view, [*map(str, paths), "-o", str(paths[1].with_suffix(".png")), "--reference", "no.h5"])
    assert lost.exit_code == 1
