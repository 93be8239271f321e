"""Scans undersampled along ky and kz: x is separated, and each x is a problem in the plane (kz, ky)."""

from dataclasses import replace

import ismrmrd
import pytest
import torch

from gadgets.coils import coil_sensitivities
from gadgets.coils.coil_compression import CoilCompression
from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.coils.coil_whitening import CoilWhitening
from gadgets.items import Calibration, ReconBuffer
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.receiving.buffer_intake import BufferIntake
from gadgets.recon.grappa_recon import GrappaRecon
from gadgets.recon.kband_recon import KBandRecon
from gadgets.recon.raki_recon import RakiRecon
from gadgets.recon.sense_recon import SenseRecon
from gadgets.scan import Scan
from gadgets.stock import AcquisitionAccumulateTrigger, BucketToBuffer
from gadgets.stock.asymmetric_echo import AsymmetricEchoAdjustRO
from kband_core.metrics import nmse
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from pipelines.simulation.slab import Slab
from tests.gadgets.heads import reconstruct

N_X, N_Z = 32, 28
PROTOCOL = Protocol(
    matrix=N_X, n_coils=10, n_slices=1, acceleration=2, acs_lines=14, oversampling=1, snr=200.0, noise_scan=False,
    slab=Slab(N_Z, 2, 1),
)  # fmt: skip


@pytest.fixture(scope="module")
def simulated():
    """Maker of a scan, its lines and the image that a perfect scan would give, `(z, y, x)`; each is made once."""
    made = {}

    def make(protocol=PROTOCOL):
        if protocol not in made:
            xml, lines, (reference,) = simulate_scan(protocol)
            made[protocol] = Scan.from_xml(xml), lines, torch.from_numpy(reference.data[0])
        return made[protocol]

    return make


def error(image, reference):
    """Share of the energy of a volume that its magnitude misses."""
    return nmse(image.abs().flatten(0, 1), reference.flatten(0, 1))


def chain(recon):
    return AcquisitionBuffer(), CoilWhitening(), CoilCompression(n_coils=8), CoilSensitivities(), recon


def image_of(scan, lines, recon):
    (array,) = reconstruct(scan, lines, *chain(recon))
    return array.data[0, 0, 0, 0], array.meta[0, 0, 0], array.headers[0, 0, 0]


@pytest.mark.parametrize("slab", [Slab(N_Z, 2), Slab(N_Z, 2, 1)])
@pytest.mark.parametrize("recon", [SenseRecon(), GrappaRecon()])
def test_a_scan_accelerated_along_two_axes_becomes_a_volume(simulated, recon, slab):
    """R=2×2, with CAIPIRINHA or without: the whole head, as its lines fully sampled would show it (1 % of energy)."""
    scan, lines, reference = simulated(replace(PROTOCOL, slab=slab))
    image, meta, header = image_of(scan, lines, recon)
    assert (meta["kband_fallback"], meta["kband_complete"]) == ("no", "yes")
    assert list(header.matrix_size) == [N_X, N_X, N_Z]
    assert error(image, reference) < 0.01


def test_corners_left_out_are_not_missing(simulated):
    """An elliptical scan is complete; of one that lost a line within the ellipse one is missing."""
    scan, lines, _ = simulated(replace(PROTOCOL, slab=Slab(N_Z, 2, 1, elliptical=True)))
    _, meta, _ = image_of(scan, lines, SenseRecon())
    assert meta["kband_complete"] == "yes"
    lost = next(n for n, line in enumerate(lines) if line.flags == 0 and line.idx.kspace_encode_step_2 == N_Z // 4)
    _, meta, _ = image_of(scan, [*lines[:lost], *lines[lost + 1 :]], SenseRecon())
    received, _, expected = meta["kband_lines"].split()
    assert int(expected) - int(received) == 1
    assert "INCOMPLETE" in meta["ImageComments"]


@pytest.mark.parametrize("announced", [(2, 2), (2, 1), (1, 1)])
def test_random_lines_become_a_volume(simulated, announced):
    """A Poisson disc, whatever acceleration the header tells; nobody knows how many lines there should be."""
    scan, lines, reference = simulated(replace(PROTOCOL, slab=Slab(N_Z, 2, poisson=True)))
    scan = replace(scan, encodings=(replace(scan.encodings[0], acceleration=announced),))
    image, meta, _ = image_of(scan, lines, SenseRecon())
    assert (meta["kband_method"], meta["kband_fallback"], meta["kband_complete"]) == ("SENSE", "no", "unknown")
    assert error(image, reference) < 0.05


def test_an_image_leaves_at_the_last_line_of_its_slab(simulated):
    """Nobody can count random lines; the scanner's mark tells the end, and no second repetition is waited for."""
    scan, lines, _ = simulated(replace(PROTOCOL, slab=Slab(N_Z, 2, poisson=True)))
    buffers = AcquisitionBuffer()
    buffers.open(scan)
    taken = []

    def count():
        for line in lines:
            taken.append(line)
            yield line
        taken.append("end")

    next(item for item in buffers.process(count()) if isinstance(item, ReconBuffer))
    assert taken[-1] is lines[-1]


def test_a_calibration_goes_ahead(simulated):
    """Behind the last partition that calibrates, long before the last line."""
    scan, lines, _ = simulated()
    buffers = AcquisitionBuffer()
    buffers.open(scan)
    n_taken = 0

    def count():
        nonlocal n_taken
        for line in lines:
            n_taken += 1
            yield line

    calibration = next(buffers.process(count()))
    assert isinstance(calibration, Calibration)
    assert calibration.turned
    assert calibration.acs.shape == (N_X, 10, 14, 14)
    assert n_taken < 0.9 * len(lines)


def test_raki_refuses_in_one_sentence(simulated):
    """GRAPPA takes its place, and the image says so; its g-factor map is missed at the end."""
    scan, lines, _ = simulated()
    _, meta, _ = image_of(scan, lines, RakiRecon(gfactor=False))
    assert meta["kband_method"] == "GRAPPA"
    assert meta["kband_fallback"] == (
        "RakiRecon: RAKI fills lines left out along one direction, and here they were along ky and kz"
    )


def test_a_network_trained_on_lines_leaves_planes_to_sense(simulated):
    """Its card has seen lines only."""
    scan, lines, _ = simulated()
    _, meta, _ = image_of(scan, lines, KBandRecon())
    assert meta["kband_method"] == "SENSE"
    assert "undersampled by samples, simulated_small has seen lines" in meta["kband_fallback"]


def buffer_of(scan, items, *gadgets):
    return next(item for item in reconstruct(scan, items, *gadgets) if isinstance(item, ReconBuffer))


def test_buckets_and_lines_make_the_same_buffer(simulated):
    """Bit for bit: the room is the same."""
    scan, lines, _ = simulated()
    direct = buffer_of(scan, lines, AcquisitionBuffer())
    gathered = AcquisitionAccumulateTrigger(), BucketToBuffer(), BufferIntake()
    other = buffer_of(scan, lines, *gathered)
    assert torch.equal(direct.kspace, other.kspace)
    assert torch.equal(direct.acs, other.acs)
    assert direct.counts[0, 0, 0] == other.counts[0, 0, 0]


def test_maps_have_no_phase_jumps_along_x(simulated):
    """One coil combination is the reference of the whole volume: from one x to the next, maps turn by 0.5 rad at most.

    Each x by itself would find a reference of its own, and turn by up to π.
    """
    scan, lines, reference = simulated()
    csm = buffer_of(scan, lines, AcquisitionBuffer(), CoilSensitivities()).csm[0, :, 0]
    bright = (reference > 0.5 * reference.max()).permute(2, 0, 1)
    turned = (csm[1:] * csm[:-1].conj()).sum(1).angle().abs()
    both = bright[1:] & bright[:-1] & (csm[1:] != 0).any(1) & (csm[:-1] != 0).any(1)
    assert both.sum() > 1000
    assert turned[both].max() < 0.5


def test_maps_do_not_depend_on_how_many_x_fit(simulated, monkeypatch):
    """Three at a time, or all."""
    scan, lines, _ = simulated()
    (all_at_once, in_parts) = (AcquisitionBuffer(), CoilSensitivities()), (AcquisitionBuffer(), CoilSensitivities())
    whole = buffer_of(scan, lines, *all_at_once).csm
    monkeypatch.setattr(coil_sensitivities, "planes_at_once", lambda *_: 3)
    torch.testing.assert_close(buffer_of(scan, lines, *in_parts).csm, whole, rtol=0, atol=1e-3)


def test_separate_calibration_lines_turn_as_well(simulated):
    """They come first, in a block of central rows and partitions."""
    scan, lines, reference = simulated(replace(PROTOCOL, calibration="separate"))
    image, meta, _ = image_of(scan, lines, SenseRecon())
    assert (meta["kband_fallback"], meta["kband_complete"]) == ("no", "yes")
    assert error(image, reference) < 0.01


def test_an_image_without_calibration_says_so(simulated):
    """Every second row and partition and nothing else: zero-filled, and marked."""
    scan, lines, _ = simulated(replace(PROTOCOL, calibration="none"))
    _, meta, _ = image_of(scan, lines, SenseRecon())
    assert meta["kband_method"] == "zero-filled"
    assert not any(line.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION) for line in lines)


def test_partial_fourier_of_planes_is_told_and_filled(simulated):
    """Axes are those of the scan, though planes are turned: three quarters of the rows, four fifths of each echo."""
    scan, lines, reference = simulated(replace(PROTOCOL, partial_fourier=0.75, partial_echo=0.8))

    def made(how):
        steps = AsymmetricEchoAdjustRO(), *chain(SenseRecon(partial_fourier=how))
        (array,) = reconstruct(scan, lines, *steps)
        return array.data[0, 0, 0, 0], array.meta[0, 0, 0]

    (zeros, meta), (filled, _) = made("zero_filled"), made("pocs")
    assert meta["kband_partial_fourier"] == "zero-filled, 77% of ky scanned and 81% of kx scanned"
    assert error(filled, reference) < 0.7 * error(zeros, reference)  # of the corner neither side was measured
