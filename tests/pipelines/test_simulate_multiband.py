"""Simulated scans of slices excited at once, on the command line."""

import cmath

import ismrmrd.xsd
import numpy as np
import pytest

from pipelines.files.mrd_file import read_images
from pipelines.simulation.simulated_multiband import Excitation, simulate_multiband
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.command import kband

QUIET = Protocol(matrix=32, n_coils=4, n_slices=4, acceleration=1, snr=1e6, noise_scan=False, oversampling=1)


@pytest.fixture
def scan(tmp_path):
    """A file of four slices, two at once."""
    options = ["--multiband", 2, "--slices", 4, "--matrix", 48, "--acceleration", 1]
    assert kband("simulate", *options, "-o", tmp_path / "scan.h5").exit_code == 0
    return tmp_path / "scan.h5"


def test_a_line_is_the_sum_of_its_slices():
    """Each slice alone, by a scan of single slices, a third of a turn further from row to row (SNR 10⁶: 10⁻⁴)."""
    lines = simulate_multiband(QUIET, Excitation(2, 3))[1]
    alone = {(line.idx.slice, line.idx.kspace_encode_step_1): line.data for line in simulate_scan(QUIET)[1]}
    for line in [one for one in lines if one.encoding_space_ref == 0]:
        group, row = line.idx.slice, line.idx.kspace_encode_step_1
        expected = alone[group, row] + alone[group + 2, row] * cmath.rect(1, 2 * cmath.pi * (row - 16) / 3)
        assert np.linalg.norm(line.data - expected) < 1e-4 * np.linalg.norm(alone[0, 16])


def test_the_header_tells_it():
    """Two groups, 10 mm between their slices, half a turn from line to line; single bands have their own encoding."""
    header = ismrmrd.xsd.CreateFromDocument(simulate_multiband(QUIET, Excitation(2, 2))[0])
    folded, single = header.encoding
    told = folded.parallelImaging.multiband
    assert (told.multiband_factor, told.calibration_encoding, told.spacing[0].dZ) == (2, 1, [10.0])
    assert told.deltaKz * 10.0 == pytest.approx(0.5)
    assert (folded.encodingLimits.slice.maximum, single.encodingLimits.slice.maximum) == (1, 3)


def test_a_simulated_file_becomes_four_images(scan, tmp_path):
    """On the command line, without an option."""
    result = kband("replay", scan, "-p", "multiband_sense", "-o", tmp_path / "images.h5")
    assert result.exit_code == 0, result.output
    assert sorted(image.slice for image in read_images(tmp_path / "images.h5")) == [0, 1, 2, 3]


@pytest.mark.parametrize("pipeline", ["sense", "grappa", "raki", "kband", "sense_buffered"])
def test_other_pipelines_refuse_it_before_the_scan(scan, tmp_path, pipeline):
    """One sentence, which names the pipeline that can."""
    result = kband("replay", scan, "-p", pipeline, "-o", tmp_path / "images.h5")
    assert result.exit_code == 1
    assert "excites 2 slices at once, which only multiband_sense tells apart" in result.output
    assert not (tmp_path / "images.h5").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--multiband", 2, "--slices", 3], "3 slices cannot be excited 2 at once"),
        (["--fov-shift", 2], "a shift of slices that are excited at once needs --multiband"),
        (["--multiband", 2, "--slices", 2, "--trajectory", "radial"], "simulated of Cartesian lines only"),
        (["--multiband", 2, "--slices", 2, "--acs-lines", 40], "40 single-band lines do not fit"),
    ],
)
def test_what_cannot_be_acquired_is_one_sentence(tmp_path, options, said):
    """Nothing is written."""
    result = kband("simulate", "-o", tmp_path / "scan.h5", "--matrix", 32, "--acceleration", 1, *options)
    assert result.exit_code == 1
    assert said in result.output
    assert not (tmp_path / "scan.h5").exists()
