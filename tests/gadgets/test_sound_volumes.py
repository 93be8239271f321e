"""Lines and coils that are certainly broken, in volumes undersampled along ky and kz."""

import ismrmrd
import numpy as np
import pytest

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.coils.coil_whitening import CoilWhitening
from gadgets.coils.sound_lines import SoundLines
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.sense_recon import SenseRecon
from gadgets.scan import Scan
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from pipelines.simulation.slab import Slab
from tests.gadgets.heads import reconstruct

PROTOCOL = Protocol(
    matrix=32, n_coils=10, n_slices=1, acceleration=2, acs_lines=14, oversampling=1, snr=200.0, noise_scan=False,
    slab=Slab(28, 2, 1),
)  # fmt: skip
CHAIN = AcquisitionBuffer, SoundLines, CoilWhitening, CoilSensitivities, SenseRecon


@pytest.fixture(scope="module")
def scan():
    xml, lines, (reference,) = simulate_scan(PROTOCOL)
    return Scan.from_xml(xml), lines, np.abs(reference.data[0])


def changed(lines, change):
    """The same lines, data changed by `change(number, line, data)`."""
    made = []
    for number, line in enumerate(lines):
        data = line.data.copy()
        change(number, line, data)
        made.append(ismrmrd.Acquisition(line.getHead(), data))
    return made


def image_of(scan, lines):
    (array,) = reconstruct(scan, lines, *(gadget() for gadget in CHAIN))
    return array.data[0, 0, 0, 0].abs().numpy(), array.meta[0, 0, 0]


def error(image, reference):
    gain = (image * reference).sum() / np.square(image).sum()
    return np.square(gain * image - reference).sum() / np.square(reference).sum()


def outer(lines):
    """Numbers of lines far from the centre, which calibrate nothing."""
    return [n for n, line in enumerate(lines) if abs(line.idx.kspace_encode_step_1 - 16) > 10]


def test_a_sound_volume_passes_untouched(scan):
    """No false alarm: the same buffer."""
    gadget = AcquisitionBuffer()
    gadget.open(scan[0])
    buffer = [item for item in gadget.process(scan[1]) if hasattr(item, "kspace")][-1]
    assert list(SoundLines().process([buffer])) == [buffer]


@pytest.mark.parametrize("factor", [0.0, 1e4])
def test_broken_lines_are_left_out(scan, factor):
    """One that was not received, or was amplified, counts as missing, and the image hardly changes."""
    wrong = outer(scan[1])[5]
    lines = changed(scan[1], lambda number, line, data: data.__imul__(factor if number == wrong else 1))
    image, meta = image_of(scan[0], lines)
    clean, _ = image_of(scan[0], scan[1])
    assert "1 line is broken, first row" in meta["ImageComments"]
    assert meta["kband_complete"] == "no"
    assert error(image, scan[2]) < 1.4 * error(clean, scan[2])


@pytest.mark.parametrize("factor", [0.0, 100.0])
def test_a_coil_that_changed_is_left_out(scan, factor):
    """Silent, or another gain than in the calibration lines: nine coils make the image."""
    apart = {n for n, line in enumerate(scan[1]) if not line.is_flag_set(20) and not line.is_flag_set(21)}
    lines = changed(scan[1], lambda number, line, data: data[3].__imul__(factor if number in apart else 1))
    image, meta = image_of(scan[0], lines)
    assert "coil 3 is broken and left out" in meta["ImageComments"]
    assert error(image, scan[2]) < 0.01
