"""Of a kernel that too few calibration lines have taught, the image says so."""

import pytest

from gadgets.coils.coil_whitening import CoilWhitening
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.grappa_recon import GrappaRecon
from gadgets.recon.raki_recon import RakiRecon
from tests.gadgets.heads import reconstruct


def meta(scan, lines, method):
    (array,) = reconstruct(scan, lines, AcquisitionBuffer(), CoilWhitening(), method)
    return array.meta[0, 0, 0]


@pytest.mark.parametrize("method", [GrappaRecon, lambda: RakiRecon(gfactor=False)])
def test_a_kernel_of_too_few_lines_marks_its_image(head_scan, lines_of, head, noise, method):
    """Two rows of windows: an error of a tenth and more."""
    lines = lines_of(3, kspace=head + 0.01 * noise(*head.shape), acs=range(30, 35))
    said = meta(head_scan(acceleration=3), lines, method())
    assert "5 calibration lines at R=3: their kernel misses" in said["kband_consistency"]
    assert f"INCONSISTENT: {said['kband_consistency']}" in said["ImageComments"]


def test_of_enough_lines_nothing_is_said(head_scan, lines_of, head, noise):
    """Sixteen hold thirteen rows of windows."""
    lines = lines_of(3, kspace=head + 0.01 * noise(*head.shape), acs=range(24, 40))
    assert "kernel" not in meta(head_scan(acceleration=3), lines, GrappaRecon())["ImageComments"]
