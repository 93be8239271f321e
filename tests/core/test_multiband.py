"""Slices excited at once: the operator is the formula, and slices are told apart by coils and shifts."""

import pytest
import torch

from kband_core.coils import combine
from kband_core.fourier import to_image, to_kspace
from kband_core.multiband import MultibandOperator, blip_phase, missed_share, unfold, with_air
from kband_core.sampling import Grid
from tests.laws import check_adjoint, nmse

SHIFTS = (0.0, 1 / 3, -0.7)


def random_maps(shape, rng, n_slices=3, n_sets=2, n_coils=4):
    return torch.randn(n_slices, n_sets, n_coils, *shape, dtype=torch.complex64, generator=rng)


def every(step, shape, *, whole_lines=True):
    mask = torch.zeros(shape[0], 1 if whole_lines else shape[1], dtype=torch.bool)
    mask[::step] = True
    if not whole_lines:
        mask[:, 0] = False
    return Grid(mask)


@pytest.mark.parametrize("shape", [(6, 8), (7, 9)])
def test_lines_are_the_sum_of_shifted_slices(shape, rng):
    """y = M Σ_s e^{2πi ky δ_s} F C_s x_s, written out as a sum over pixels: shifts need not be whole pixels."""
    csm, sampling = random_maps(shape, rng), every(2, shape)
    image = torch.randn(3, 2, *shape, dtype=torch.complex64, generator=rng)
    ky, kx = (torch.arange(n, dtype=torch.float64) - n // 2 for n in shape)
    along_y = torch.exp(-2j * torch.pi * ky[:, None] * ky / shape[0]) / shape[0] ** 0.5
    along_x = torch.exp(-2j * torch.pi * kx[:, None] * kx / shape[1]) / shape[1] ** 0.5
    blips = torch.stack([torch.exp(2j * torch.pi * ky * shift) for shift in SHIFTS])
    seen = (csm * image[:, :, None]).to(torch.complex128)
    expected = sampling.mask * torch.einsum("sk,ky,lx,stcyx->ckl", blips, along_y, along_x, seen)
    folded = MultibandOperator(sampling, csm, SHIFTS).forward(image)
    assert nmse(folded, expected.to(torch.complex64)) < 1e-10


@pytest.mark.parametrize("whole_lines", [True, False])
@pytest.mark.parametrize("shape", [(6, 8), (7, 9)])
def test_adjoint(shape, whole_lines, rng):
    """<A x, y> = <x, Aᴴ y>: without it conjugate gradient does not converge."""
    sampling = every(2, shape, whole_lines=whole_lines)
    check_adjoint(MultibandOperator(sampling, random_maps(shape, rng), SHIFTS), (3, 2, *shape), rng)


@pytest.mark.parametrize("whole_lines", [True, False])
def test_normal_is_both_in_a_row(whole_lines, rng):
    """AᴴA of whole lines needs no transform along kx; to rounding it is the same."""
    operator = MultibandOperator(every(2, (7, 9), whole_lines=whole_lines), random_maps((7, 9), rng), SHIFTS)
    image = torch.randn(3, 2, 7, 9, dtype=torch.complex64, generator=rng)
    assert nmse(operator.normal(image), operator.adjoint(operator.forward(image))) < 1e-10


def test_blips_shift_the_image(rng):
    """A phase of half a turn from line to line is a shift by half the field of view: 4 of 8 pixels."""
    image = torch.randn(8, 6, dtype=torch.complex64, generator=rng)
    shifted = to_image(blip_phase(8, [0.5])[0][:, None] * to_kspace(image))
    assert nmse(shifted, image.roll(4, dims=0)) < 1e-10


def test_as_many_shifts_as_slices(rng):
    """A slice without a shift would be left out without a word."""
    with pytest.raises(ValueError, match="2 shifts of 3 slices"):
        MultibandOperator(every(1, (6, 8)), random_maps((6, 8), rng), (0.0, 0.5))


@pytest.fixture
def two_slices(rng):
    """Maps of 8 coils around two slices, the second turned by 20 degrees, and their images."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    angle = torch.arange(8) * (2 * torch.pi / 8)
    csm = []
    for turn in (0.0, 0.35):
        near = (y - 1.2 * torch.sin(angle + turn)[:, None, None]) ** 2 + (
            x - 1.2 * torch.cos(angle + turn)[:, None, None]
        ) ** 2
        one = torch.polar(1 / (0.2 + near), (angle + turn)[:, None, None].expand_as(near))
        csm.append(one / torch.linalg.vector_norm(one, dim=0))
    image = torch.randn(2, 1, 32, 32, dtype=torch.complex64, generator=rng)
    return torch.stack(csm)[:, None], image


def test_slices_are_told_apart(two_slices):
    """Without noise and nearly without λ, both are found: half the field of view apart, to 1 % in energy."""
    csm, image = two_slices
    operator = MultibandOperator(every(1, (32, 32)), csm, (0.0, 0.5))
    found = unfold(operator, operator.forward(image), regularisation=1e-5, n_iterations=60)
    assert nmse(found, image) < 0.01


def test_another_shift_fits_to_no_slice(two_slices):
    """Lines shifted by half the field of view are no sum of slices shifted by a quarter."""
    csm, image = two_slices
    folded = MultibandOperator(every(1, (32, 32)), csm, (0.0, 0.5)).forward(image)
    missed = []
    for shift in (0.5, 0.25):
        operator = MultibandOperator(every(1, (32, 32)), csm, (0.0, shift))
        found = unfold(operator, folded, regularisation=1e-4, n_iterations=40)
        missed.append(missed_share(operator, found, folded, 0.0))
    assert missed[0] < 0.01
    assert missed[1] > 0.1


def test_noise_alone_is_not_missed(rng):
    """An image of zero misses all of white noise, and none beyond it (64 × 64 samples of 4 coils: 2 %)."""
    noise = torch.randn(4, 64, 64, dtype=torch.complex64, generator=rng)
    operator = MultibandOperator(every(1, (64, 64)), random_maps((64, 64), rng, n_sets=1), SHIFTS)
    assert missed_share(operator, torch.zeros(3, 1, 64, 64, dtype=torch.complex64), noise, 1.0) < 0.02


def test_air_shows_what_is_left(rng):
    """Where a slice has no map it gets the coils as they came: of one slice, all lines measured, their combination."""
    everywhere = random_maps((8, 6), rng, n_slices=1, n_sets=1)
    everywhere /= torch.linalg.vector_norm(everywhere, dim=2, keepdim=True)
    csm = everywhere.clone()
    csm[..., :3, :] = 0
    kspace = torch.randn(4, 8, 6, dtype=torch.complex64, generator=rng)
    inside, all_over = (MultibandOperator(every(1, (8, 6)), maps, (0.0,)) for maps in (csm, everywhere))
    image = with_air(torch.zeros(1, 1, 8, 6, dtype=torch.complex64), inside, all_over, kspace)
    assert nmse(image[0, 0, :3], combine(to_image(kspace), everywhere[0])[0, :3]) < 1e-10
    assert not image[..., 3:, :].any()
