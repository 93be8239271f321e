"""Two image files, their difference, and how far they agree."""

import numpy as np
import pytest

from pipelines.files.mrd_file import ImageFile
from tests.command import kband
from tests.pipelines.test_view import image
from tests.pipelines.test_view_files import HEADER, gfactor

HEAD = np.outer(np.hanning(16), np.hanning(24)).astype(np.float32)


def written(path, *images):
    """A file of these images."""
    with ImageFile(path, HEADER) as file:
        for each in images:
            file.append(each)
    return path


@pytest.fixture
def sense(tmp_path):
    return written(tmp_path / "sense.h5", *(image(HEAD, {"kband_method": "SENSE"}, slice=n) for n in (0, 1)))


def test_a_factor_is_no_difference(sense, tmp_path):
    """Scanners scale freely; maps are of another kind."""
    twice = [image(2 * HEAD, {"kband_method": "RAKI"}, slice=n, image_series_index=7) for n in (0, 1)]
    other = written(tmp_path / "raki.h5", *twice, gfactor(100))
    result = kband("compare", sense, other, "-o", tmp_path / "difference.png")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        f"slice {n}, contrast 0, repetition 0: NRMSE 0.000 · SSIM 1.000" for n in (0, 1)
    ] + [str(tmp_path / "difference.png")]
    assert (tmp_path / "difference.png").stat().st_size > 0


def test_the_figure_tells_by_how_much_they_differ(sense, tmp_path):
    """Noise of a tenth of the energy's root, orthogonal to the image as far as chance lets it."""
    noise = np.random.default_rng(0).normal(size=HEAD.shape)
    noise *= 0.1 * np.linalg.norm(HEAD) / np.linalg.norm(noise)
    other = written(tmp_path / "b.h5", *(image((HEAD + noise).astype(np.float32), {}, slice=n) for n in (0, 1)))
    result = kband("compare", other, sense, "-o", tmp_path / "difference.png")
    assert 0.08 < float(result.output.split("NRMSE ")[1].split(" ")[0]) < 0.11


def test_an_image_without_a_partner_is_said(sense, tmp_path):
    """What one file lacks is a difference as well; the others are drawn."""
    one = written(tmp_path / "one.h5", image(HEAD, {}, slice=1))
    result = kband("compare", sense, one, "-o", tmp_path / "difference.png")
    assert result.exit_code == 1
    assert "slice 0, contrast 0, repetition 0 of sense.h5 has no partner in one.h5" in result.output
    assert (tmp_path / "difference.png").exists()


def test_other_sizes_are_said(sense, tmp_path):
    """No picture of what cannot be subtracted."""
    small = written(tmp_path / "small.h5", image(HEAD[:8], {}, slice=0))
    result = kband("compare", sense, small, "-o", tmp_path / "difference.png")
    assert result.exit_code == 1
    assert "slice 0: the image has 16 x 24 pixels (y, x), but its reference 8 x 24" in result.output
    assert not (tmp_path / "difference.png").exists()
