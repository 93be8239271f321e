"""Raw files of real scanners, when they are at hand: to images with no option set by hand."""

import numpy as np
import pytest

from pipelines.files.mrd_file import read_images
from tests.command import kband

SHAPES = {
    "brain_flash_16ch": (1, 128, 128),
    "brain_flash_bodycoil_2ch": (1, 128, 128),
    "brain_t1_8ch": (1, 180, 230),
    "head_gre_32ch_4slices": (4, 100, 100),
    "brain_se_2avg_noise_2ch": (1, 256, 256),
    "phantom_ssfp_r3_acs_noise_14ch": (1, 144, 192),
    "phantom_r2_refscan_16ch": (1, 64, 64),
    "phantom_gre_2ch_os2": (1, 160, 160),
}


@pytest.mark.parametrize("pipeline", ["sense", "grappa"])
@pytest.mark.parametrize("name", SHAPES)
def test_cartesian_scans_become_images(real_scans, tmp_path, name, pipeline):
    """Complete, by the method asked for, on the recon matrix, brighter in the middle than in the corners (air)."""
    result = kband("replay", real_scans / f"{name}.h5", "-p", pipeline, "-o", tmp_path / "images.h5")
    assert result.exit_code == 0, result.output
    images = read_images(tmp_path / "images.h5")
    n_images, height, width = SHAPES[name]
    assert [image.data.shape for image in images] == [(1, 1, height, width)] * n_images
    for image in images:
        pixels = image.data[0, 0].astype(float)
        corner = pixels[: height // 10, : width // 10]
        middle = pixels[height // 4 : -height // 4, width // 4 : -width // 4]
        assert middle.mean() > 5 * corner.mean()
        assert np.isfinite(pixels).all()


@pytest.mark.parametrize(
    ("name", "trajectory"),
    [("phantom_radial_69spokes_16ch_2slices", "radial"), ("phantom_spiral_8ch", "spiral")],
)
def test_other_scans_are_refused(real_scans, tmp_path, name, trajectory):
    """One clear sentence, no image, exit code 1."""
    result = kband("replay", real_scans / f"{name}.h5", "-o", tmp_path / "images.h5")
    assert result.exit_code == 1
    assert f"encoding 0 has the trajectory {trajectory}; only cartesian is supported" in result.output
    assert not (tmp_path / "images.h5").exists()


def test_half_echoes_of_half_the_lines_are_one_image(real_scans, tmp_path):
    """Partial Fourier, R=2 and two half echoes at once; the second is 8 % larger at k = 0. Beside the phantom, along
    the readout, half echoes smear (0.86 of the phantom's brightness), the joined one does not (0.14).
    """
    dark = {}
    for joined in ("false", "true"):
        path = tmp_path / f"{joined}.h5"
        parameter = f"AcquisitionBuffer.join_echoes={joined}"
        scan = real_scans / "phantom_halfecho_r2_2ch.h5"
        result = kband("replay", scan, "-p", "grappa", "--parameter", parameter, "-o", path)
        assert result.exit_code == 0, result.output
        images = read_images(path)
        pixels = images[0].data[0, 0].astype(float)
        dark[joined] = pixels[80:130, :8].mean() / pixels[80:130, 60:130].mean()
    assert dark["true"] < 0.2
    assert dark["false"] > 0.6
    assert len(images) == 1
    assert "the second scaled by 0.92" in images[0].meta["ImageComments"]
    assert images[0].meta["kband_partial_fourier"].startswith("POCS")
