"""Echo trains of slices that were excited at once: sums of simulated trains, navigators included."""

import cmath

import ismrmrd
import ismrmrd.xsd as mrd
import numpy as np
import pytest

from gadgets.epi.epi_lines import EpiLines
from gadgets.items import Calibration
from gadgets.receiving.multiband_buffer import MultibandBuffer
from gadgets.scan import Scan
from tests.pipelines.epi_scans import epi_scan, error_of, is_navigator, replayed

N_GROUPS = 2


@pytest.fixture(scope="module")
def folded_trains():
    """Four slices, two at once, half the field of view apart; before them single-band trains in their own encoding."""
    header, lines, references = epi_scan(matrix=64, n_coils=8, n_slices=4, calibration="none", noise_scan=False)
    told = mrd.CreateFromDocument(header)
    told.encoding.append(mrd.CreateFromDocument(header).encoding[0])
    told.encoding[0].encodingLimits.slice.maximum = N_GROUPS - 1
    told.encoding[0].parallelImaging = mrd.parallelImagingType(
        accelerationFactor=mrd.accelerationFactorType(kspace_encoding_step_1=1, kspace_encoding_step_2=1),
        multiband=mrd.multibandType(
            spacing=[mrd.multibandSpacingType(dZ=[10.0])], deltaKz=0.05, multiband_factor=2, calibration_encoding=1,
            calibration=mrd.multibandCalibrationType.SEPARABLE2_D,
        ),
    )  # fmt: skip
    by_slice = [[line for line in lines if line.idx.slice == number] for number in range(4)]
    single = [_line(line, line.data, encoding=1) for train in by_slice for line in train]
    folded = [
        _line(one, one.data + other.data * _blip(one), encoding=0)
        for first, second in zip(by_slice[:N_GROUPS], by_slice[N_GROUPS:], strict=True)
        for one, other in zip(first, second, strict=True)
    ]
    return mrd.ToXML(told), single + folded, references


def _line(like, data, *, encoding):
    line = ismrmrd.Acquisition(ismrmrd.AcquisitionHeader.from_buffer_copy(like.getHead()), data.astype(np.complex64))
    line.encoding_space_ref = encoding
    if encoding and not is_navigator(line):
        line.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    return line


def _blip(line):
    return 1 if is_navigator(line) else cmath.rect(1, cmath.pi * (line.idx.kspace_encode_step_1 - 32))


def test_trains_are_told_apart(folded_trains):
    """Gridded, their ghost taken off, unfolded: each slice to 5 % at an SNR of 200."""
    header, lines, references = folded_trains
    images, error = replayed(header, lines, "epi_multiband_sense")
    assert error is None
    assert sorted(image.slice for image in images) == [0, 1, 2, 3]
    assert all(error_of(image, references) < 0.05 for image in images)


def test_the_ghost_of_folded_slices_is_unknown(folded_trains):
    """In its place lies another slice."""
    images, _ = replayed(*folded_trains[:2], "epi_multiband_sense")
    assert {image.meta["kband_ghost"] for image in images} == {"unknown"}
    assert {image.meta["kband_phase_correction"] for image in images} == {"linear, per coil"}


def test_trains_that_calibrate_leave_before_the_end(folded_trains):
    """Single-band trains are complete at the first train of the image: maps are computed while it is scanned."""
    header, lines, _ = folded_trains
    trains, buffer, scan, taken = EpiLines(), MultibandBuffer(), Scan.from_xml(header), iter(lines)
    trains.open(scan)
    buffer.open(trains.scan_behind(scan))
    next(item for item in buffer.process(trains.process(taken)) if isinstance(item, Calibration))
    assert len(list(taken)) > 0
