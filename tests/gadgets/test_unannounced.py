"""What is not announced: lines left out under a header of R=1, and corners of k-space outside the ellipse."""

import numpy as np
import pytest
import torch

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.grappa_recon import GrappaRecon
from gadgets.recon.raki_recon import RakiRecon
from gadgets.recon.sense_recon import SenseRecon
from kband_core.phantom import coil_kspace, head_phantom, loop_coils
from tests.gadgets.heads import N, reconstruct, root_sum_of_squares
from tests.laws import nmse

FIRST, LAST = 7, 8  # flags: first and last line of the slice
SLAB = (16, 24, 20)  # z, y, x


@pytest.fixture
def thinned(lines_of):
    """Lines of a head of which half were left out at random, the central twenty apart."""
    kept = np.random.default_rng(0).random(N) < 0.4
    kept[22:42] = True
    return [line for line in lines_of() if kept[line.idx.kspace_encode_step_1]]


def image_of(scan, lines, recon):
    (array,) = reconstruct(scan, lines, AcquisitionBuffer(), CoilSensitivities(), recon)
    return array.data[0, 0, 0, 0, 0].abs(), array.meta[0, 0, 0]


@pytest.mark.parametrize("recon", [GrappaRecon(), RakiRecon()])
def test_no_kernel_fills_random_lines(head_scan, thinned, head, recon):
    """Maps do, and the image is marked: coils combined would be a picture of half of the lines."""
    image, meta = image_of(head_scan(), thinned, recon)
    assert meta["kband_method"] == "SENSE"
    assert "grid is missing" in meta["kband_fallback"]
    assert nmse(image, root_sum_of_squares(head)) < 0.02


def test_random_lines_are_not_missing(head_scan, thinned):
    """Nobody announced them; how many lines there were of all is told."""
    _, meta = image_of(head_scan(), thinned, SenseRecon())
    assert meta["kband_complete"] == "unknown"
    assert "INCOMPLETE" not in meta["ImageComments"]
    assert float(meta["kband_acceleration"]) == pytest.approx(N / len(thinned), abs=0.01)


def test_a_scan_that_was_cut_off_is_incomplete(head_scan, thinned):
    """Its scanner marks the first line, but the last one never came."""
    thinned[0].setFlag(FIRST)
    _, meta = image_of(head_scan(), thinned, SenseRecon())
    assert meta["kband_complete"] == "no"


@pytest.fixture
def slab():
    """K-space [coil kz ky kx] of a head that is thick along z, and where it lies in the ellipse, bool [kz ky]."""
    plane = coil_kspace(head_phantom(), loop_coils(4, object_phase=1.0), SLAB[1:], oversampling=1)
    along_z = torch.fft.fftshift(torch.fft.fft(torch.hann_window(SLAB[0], periodic=False)).conj()).roll(0)
    kz, ky = ((np.arange(n) - n // 2) / (n / 2) for n in SLAB[:2])
    return (plane[:, None] * along_z[:, None, None]).numpy(), kz[:, None] ** 2 + ky**2 <= 1


@pytest.fixture
def elliptical(slab, make_acquisition):
    kspace, inside = slab
    return [
        make_acquisition(kspace[:, kz, ky], kspace_encode_step_1=ky, kspace_encode_step_2=kz)
        for kz, ky in np.argwhere(inside)
    ]


@pytest.fixture
def slab_scan(minimal_scan):
    return minimal_scan((SLAB[2], SLAB[1], SLAB[0]), (200.0, 240.0, 32.0), oversampling=1)


def test_corners_outside_the_ellipse_are_not_missing(slab_scan, elliptical, slab):
    """Every third line of the box is one: the image is complete, and that of k-space with empty corners."""
    kspace, inside = slab
    (array,) = reconstruct(slab_scan, elliptical, AcquisitionBuffer(), CoilSensitivities(), SenseRecon())
    meta = array.meta[0, 0, 0]
    assert (meta["kband_method"], meta["kband_complete"]) == ("coil combination", "yes")
    wanted = torch.fft.fftshift(torch.fft.ifftn(torch.fft.ifftshift(torch.from_numpy(kspace * inside[..., None]),
                                dim=(1, 2, 3)), dim=(1, 2, 3), norm="ortho"), dim=(1, 2, 3))  # fmt: skip
    assert nmse(array.data[0, 0, 0, 0].abs(), wanted.abs().square().sum(0).sqrt()) < 0.01


@pytest.mark.parametrize("where", [(8, 0), (4, 12), (3, 3)])
def test_a_line_inside_the_ellipse_is_missing(slab_scan, elliptical, where):
    """One of the middle of an edge, of the interior, or beside a corner."""
    lines = [one for one in elliptical if (one.idx.kspace_encode_step_2, one.idx.kspace_encode_step_1) != where]
    assert len(lines) == len(elliptical) - 1
    (array,) = reconstruct(slab_scan, lines, AcquisitionBuffer(), CoilSensitivities(), SenseRecon())
    assert array.meta[0, 0, 0]["kband_complete"] == "no"


def test_a_box_that_lacks_one_corner_is_incomplete(slab_scan, slab, make_acquisition):
    """Where other corners came, this one was lost."""
    kspace, _ = slab
    lines = [
        make_acquisition(kspace[:, kz, ky], kspace_encode_step_1=ky, kspace_encode_step_2=kz)
        for kz in range(SLAB[0]) for ky in range(SLAB[1]) if (kz, ky) != (0, 0)
    ]  # fmt: skip
    (array,) = reconstruct(slab_scan, lines, AcquisitionBuffer(), CoilSensitivities(), SenseRecon())
    assert array.meta[0, 0, 0]["kband_complete"] == "no"
