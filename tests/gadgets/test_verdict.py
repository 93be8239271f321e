"""Images say whether their lines fit together; what is clean bears no mark."""

import pytest

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.coils.coil_whitening import CoilWhitening
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.grappa_recon import GrappaRecon
from gadgets.recon.sense_recon import SenseRecon
from tests.gadgets.heads import reconstruct, root_sum_of_squares
from tests.laws import nmse

CHAIN = AcquisitionBuffer, CoilWhitening, CoilSensitivities


def meta_of(scan, lines, recon, chain=CHAIN):
    (array,) = reconstruct(scan, lines, *(gadget() for gadget in (*chain, recon)))
    return array.meta[0, 0, 0]


@pytest.mark.parametrize("recon", [SenseRecon, GrappaRecon])
@pytest.mark.parametrize("acceleration", [1, 2])
def test_a_clean_scan_bears_no_mark(head_scan, lines_of, head, noise, recon, acceleration):
    """Its comment is that of its method alone."""
    lines = lines_of(acceleration, kspace=head + 0.01 * noise(*head.shape))
    meta = meta_of(head_scan(acceleration=acceleration), lines, recon)
    assert meta["kband_consistency"] == "good"
    assert meta["ImageComments"] == meta["kband_method"]


@pytest.mark.parametrize("recon", [SenseRecon, GrappaRecon])
def test_lines_that_contradict_their_calibration_are_marked(head_scan, lines_of, head, noise, recon):
    """One of the wrong sign, beside those that calibrate."""
    kspace = head + 0.01 * noise(*head.shape)
    kspace[:, 44] *= -1
    meta = meta_of(head_scan(acceleration=1), lines_of(1, kspace=kspace), recon)
    assert "contradicts the calibration lines" in meta["kband_consistency"]
    assert meta["ImageComments"] == f"{meta['kband_method']}; INCONSISTENT: {meta['kband_consistency']}"


def test_without_whitening_nothing_is_known(head_scan, lines_of, head):
    """How strong noise is decides what contradicts."""
    meta = meta_of(head_scan(acceleration=2), lines_of(2), SenseRecon, (AcquisitionBuffer, CoilSensitivities))
    assert meta["kband_consistency"] == "unknown"
    assert meta["ImageComments"] == "SENSE"


def test_one_coil_cannot_unfold(head_scan, lines_of, head, noise):
    """Whatever makes an image of it has guessed."""
    kspace = (head + 0.01 * noise(*head.shape))[:1]
    meta = meta_of(head_scan(acceleration=2), lines_of(2, kspace=kspace), SenseRecon)
    assert meta["kband_consistency"] == "1 coil cannot unfold R=2"


@pytest.mark.parametrize("factor", [-1, 0.1, 10])
def test_a_centre_line_of_another_gain_is_made_again(head_scan, lines_of, head, noise, factor):
    """It holds most of the energy, and outshines all that could contradict it."""
    kspace = head + 0.01 * noise(*head.shape)
    kspace[:, 32] *= factor
    (array,) = reconstruct(head_scan(acceleration=2), lines_of(2, kspace=kspace), *(gadget() for gadget in CHAIN),
                           SenseRecon())  # fmt: skip
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), root_sum_of_squares(head)) < 0.02
    assert "1 line fits to no others and was made again, first 32" in array.meta[0, 0, 0]["ImageComments"]
