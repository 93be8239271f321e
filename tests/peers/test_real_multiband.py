"""Slices of a real head added up as if they had been excited at once, and told apart again."""

import cmath
from itertools import product

import ismrmrd
import ismrmrd.xsd as mrd
import numpy as np
import pytest

from pipelines.files.mrd_file import RawFile, read_images, write_raw
from tests.command import kband

N_ROWS, ACS = 100, range(38, 62)


@pytest.fixture
def folded(real_scans, tmp_path):
    """Maker of a file: `factor` slices at once, `shift` of the field of view apart, every R-th line."""

    def make(factor, shift, acceleration):
        with RawFile(real_scans / "head_gre_32ch_4slices.h5") as raw:
            header, lines = mrd.CreateFromDocument(raw.header_xml), list(raw)
        at = {(line.idx.slice, line.idx.kspace_encode_step_1): line for line in lines}
        header.encoding.append(mrd.CreateFromDocument(mrd.ToXML(header)).encoding[0])
        n_groups, encoding = 4 // factor, header.encoding[0]
        encoding.encodingLimits.slice.maximum = n_groups - 1
        encoding.parallelImaging.accelerationFactor.kspace_encoding_step_1 = acceleration
        encoding.parallelImaging.multiband = mrd.multibandType(
            spacing=[mrd.multibandSpacingType(dZ=[10.0 * n_groups])], deltaKz=shift * acceleration / (10 * n_groups),
            multiband_factor=factor, calibration=mrd.multibandCalibrationType.SEPARABLE2_D, calibration_encoding=1,
        )  # fmt: skip
        single = [_line(at[number, row], at[number, row].data, 1) for number in range(4) for row in ACS]
        together = []
        for group, row in product(range(n_groups), range(0, N_ROWS, acceleration)):
            slices = [at[group + n * n_groups, row].data * _blip(row, n * shift) for n in range(factor)]
            together.append(_line(at[group, row], sum(slices), 0))
        write_raw(tmp_path / "folded.h5", mrd.ToXML(header), single + together)
        return tmp_path / "folded.h5"

    return make


def _blip(row, shift):
    return cmath.rect(1, 2 * cmath.pi * (row - N_ROWS // 2) * shift)


def _line(like, data, encoding):
    line = ismrmrd.Acquisition(ismrmrd.AcquisitionHeader.from_buffer_copy(like.getHead()), data.astype(np.complex64))
    line.clear_all_flags()
    line.encoding_space_ref = encoding
    if encoding:
        line.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    return line


def pixels(path):
    return {image.slice: (image.data[0, 0].astype(float), tuple(image.position)) for image in read_images(path)}


@pytest.mark.parametrize(
    ("factor", "shift", "acceleration", "bound"),
    [(2, 1 / 2, 1, 0.03), (2, 1 / 4, 2, 0.05), (4, 1 / 4, 1, 0.06), (4, 1 / 3, 1, 0.07)],
)
def test_slices_of_a_head_are_told_apart(real_scans, folded, tmp_path, factor, shift, acceleration, bound):
    """As each slice alone, at its own position; others reach 0.05 to 0.11 on the same slices."""
    result = kband("replay", folded(factor, shift, acceleration), "-p", "multiband_sense", "-o", tmp_path / "apart.h5")
    assert result.exit_code == 0, result.output
    assert kband("replay", real_scans / "head_gre_32ch_4slices.h5", "-o", tmp_path / "alone.h5").exit_code == 0
    apart, alone = pixels(tmp_path / "apart.h5"), pixels(tmp_path / "alone.h5")
    assert apart.keys() == alone.keys()
    errors = []
    for number, (image, position) in apart.items():
        true, true_position = alone[number]
        assert position == true_position
        gain = (image * true).sum() / (image**2).sum()
        errors.append(np.linalg.norm(gain * image - true) / np.linalg.norm(true))
    assert np.mean(errors) < bound
