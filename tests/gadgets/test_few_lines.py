"""Of a kernel that too few calibration lines have taught, the image says so."""

import pytest

from gadgets.coils.coil_whitening import CoilWhitening
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.grappa_recon import GrappaRecon
from gadgets.recon.raki_recon import RakiRecon
from tests.gadgets.heads import reconstruct


def comment(scan, lines, method):
    (array,) = reconstruct(scan, lines, AcquisitionBuffer(), CoilWhitening(), method)
    return array.meta[0, 0, 0]["ImageComments"]


@pytest.mark.parametrize("method", [GrappaRecon, lambda: RakiRecon(gfactor=False)])
@pytest.mark.parametrize(("acs", "said"), [
    (range(30, 34), "nothing tells its error"),
    (range(30, 35), "5 calibration lines at R=3: a kernel misses"),
])  # fmt: skip
def test_too_few_lines_are_said(head_scan, lines_of, head, noise, method, acs, said):
    """One row of windows, or two: an error of a tenth and more."""
    lines = lines_of(3, kspace=head + 0.01 * noise(*head.shape), acs=acs)
    assert said in comment(head_scan(acceleration=3), lines, method())


def test_of_enough_lines_nothing_is_said(head_scan, lines_of, head, noise):
    """Sixteen hold thirteen rows of windows."""
    lines = lines_of(3, kspace=head + 0.01 * noise(*head.shape), acs=range(24, 40))
    assert "kernel" not in comment(head_scan(acceleration=3), lines, GrappaRecon())
