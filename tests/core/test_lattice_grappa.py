"""GRAPPA of lines left out along ky and kz."""

import pytest
import torch

from kband_core.fourier import to_image
from kband_core.lattice import Lattice
from kband_core.lattice_grappa import apply_lattice_grappa, calibrate_lattice_grappa, lattice_of
from kband_core.phantom_volume import ring_coils, volume_kspace
from kband_core.sampling import Grid

SHAPE = 24, 30
ACS = slice(4, 20), slice(7, 23)


@pytest.fixture(scope="module")
def kspace():
    """`(x, coil, kz, ky)` of the head, without noise."""
    partitions = volume_kspace(ring_coils(8), (*SHAPE, 20), fov=(1.25, 1.0, 1.0), oversampling=1)
    return to_image(torch.stack(list(partitions), 1), (-1,)).permute(3, 0, 1, 2).contiguous()


def acquired_by(lattice):
    mask = lattice.mask(SHAPE)
    mask[ACS] = True
    return Grid(mask[None])


def fitted(kspace, lattice):
    return calibrate_lattice_grappa(kspace[..., ACS[0], ACS[1]], lattice)


@pytest.mark.parametrize("lattice", [Lattice((2, 2)), Lattice((2, 2), (1, 0), 1), Lattice((1, 2), (0, 1), 1)])
def test_what_was_left_out_is_filled(kspace, lattice):
    """Kernels miss 12 % at 2×2, 11 % with a shift, of the energy that zeros miss: four coils a ring, edges included."""
    sampling = acquired_by(lattice)
    filled = apply_lattice_grappa(fitted(kspace, lattice), kspace * sampling.mask, sampling)
    missed, left_out = (filled - kspace).abs().square().sum(), (kspace * ~sampling.mask).abs().square().sum()
    assert missed < 0.13 * left_out


def test_measured_lines_stay(kspace):
    """Calibration lines off the lattice, too."""
    sampling = acquired_by(Lattice((2, 2)))
    filled = apply_lattice_grappa(fitted(kspace, Lattice((2, 2))), kspace * sampling.mask, sampling)
    assert torch.equal(filled * sampling.mask, kspace * sampling.mask)


def test_a_kernel_serves_wherever_its_lattice_begins(kspace):
    """The scan is moved by a row and a partition: so is what is filled (edges apart)."""
    kernel = fitted(kspace, Lattice((2, 2), shift=1))
    moved = kspace.roll((1, 1), (-2, -1))
    results = [
        apply_lattice_grappa(kernel, volume * mask, Grid(mask[None]))
        for volume, mask in (
            (kspace, Lattice((2, 2), (0, 0), 1).mask(SHAPE)),
            (moved, Lattice((2, 2), (1, 1), 1).mask(SHAPE)),
        )
    ]
    within = slice(6, -6)
    difference = (results[0].roll((1, 1), (-2, -1)) - results[1])[..., within, within].abs().max()
    assert difference < 1e-5 * results[0].abs().max()


def test_corners_that_were_left_out_stay_empty(kspace):
    """Elliptical scans have none of their lines; the inside is filled."""
    kz, ky = (((torch.arange(n) - n // 2) / (n / 2)).square() for n in SHAPE)
    radius = kz[:, None] + ky
    mask = acquired_by(Lattice((2, 2))).mask & (radius <= 1)
    filled = apply_lattice_grappa(fitted(kspace, Lattice((2, 2))), kspace * mask, Grid(mask))
    assert not filled[..., radius > 1.3].any()
    assert (filled != 0).any(0).any(0)[radius < 0.8].all()


def test_a_missing_line_is_refused(kspace):
    """One of the lattice, in its middle."""
    mask = Lattice((2, 2)).mask(SHAPE)
    mask[10, 14] = False
    with pytest.raises(ValueError, match=r"^GRAPPA: row 14 of partition 10 of the R=2×2 lattice is mis"):
        lattice_of(Grid(mask[None]), (2, 2))


def test_too_few_calibration_lines_are_refused(kspace):
    """A kernel of four lines each way, with room to move."""
    with pytest.raises(ValueError, match=r"a block of 7 × 16 calibration lines, 8 × 8 needed for R=2×2$"):
        calibrate_lattice_grappa(kspace[..., :16, :7], Lattice((2, 2)))
