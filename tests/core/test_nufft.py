"""Non-uniform Fourier transform, its normal operator, and the encoding operator along a trajectory."""

import math
import sys

import pytest
import torch

from kband_core.density import iterative_density, radial_density, spiral_density
from kband_core.fourier import to_kspace
from kband_core.nufft import adjoint_nufft, normal_nufft, normal_spectrum, nufft
from kband_core.operators import encoding_operator
from kband_core.sampling import Trajectory
from kband_core.trajectories import spokes
from kband_core.trajectory_operator import TrajectoryOperator
from tests.laws import check_adjoint, nmse

pytest.importorskip("finufft")
SHAPES = [(6, 8), (7, 9), (9, 8)]


def random_complex(rng, *shape) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=rng)


def random_coords(rng, *shape) -> torch.Tensor:
    return torch.rand(*shape, 2, generator=rng) - 0.5


def exact(image: torch.Tensor, coords: torch.Tensor) -> torch.Tensor:
    """The sum as it stands in the books, in double precision."""
    y, x = (torch.arange(n, dtype=torch.float64) - n // 2 for n in image.shape[-2:])
    ky, kx = coords.double().unbind(-1)
    phase = ky[..., None, None] * y[:, None] + kx[..., None, None] * x
    return torch.einsum("...yx,styx->...st", image.to(torch.complex128), torch.exp(-2j * math.pi * phase)) / math.sqrt(
        len(y) * len(x)
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_nufft_is_the_sum_of_the_books(shape, rng):
    """Within 1e-5 of the exact transform: single precision. Pixel N//2 is the origin, for odd N too."""
    image, coords = random_complex(rng, 3, *shape), random_coords(rng, 4, 5)
    assert nmse(nufft(image, coords).to(torch.complex128), exact(image, coords)) < 1e-10


def test_nufft_on_a_grid_is_the_transform_of_the_house(rng):
    """One scale for grids and trajectories: λ and maps mean the same."""
    image = random_complex(rng, 6, 8)
    ky, kx = torch.meshgrid((torch.arange(6) - 3) / 6, (torch.arange(8) - 4) / 8, indexing="ij")
    assert nmse(nufft(image, torch.stack((ky, kx), -1)), to_kspace(image)) < 1e-10


@pytest.mark.parametrize("shape", SHAPES)
def test_normal_by_convolution_is_adjoint_of_forward(shape, rng):
    """The Toeplitz short cut: 1e-6 of the energy's root is single precision."""
    image, coords = random_complex(rng, 2, *shape), random_coords(rng, 4, 5)
    both = adjoint_nufft(nufft(image, coords), coords, shape)
    assert nmse(normal_nufft(image, normal_spectrum(coords, shape)), both) < 1e-12 * 4


def test_a_known_transfer_function_is_that_of_its_own_samples(rng):
    """What is kept for the next image belongs to coordinates, matrix and weights, all three."""
    coords, weight = random_coords(rng, 4, 5), torch.rand(4, 5, generator=rng)
    first = normal_spectrum(coords, (6, 8))
    assert torch.equal(normal_spectrum(coords.clone(), (6, 8)), first)
    for other in (normal_spectrum(coords.flip(-1), (6, 8)), normal_spectrum(coords, (6, 8), weight)):
        assert not torch.allclose(other, first)
    assert normal_spectrum(coords, (8, 6)).shape == (16, 12)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_sets", [1, 2])
def test_trajectory_operator_adjoint(shape, n_sets, is_weighted, rng):
    """<A x, y> = <x, Aᴴ y>: without it conjugate gradient does not converge."""
    sampling, weight = Trajectory(random_coords(rng, 4, 5)), torch.rand(4, 5, generator=rng)
    csm = random_complex(rng, n_sets, 3, *shape)
    check_adjoint(TrajectoryOperator(sampling, csm, weight if is_weighted else None), (n_sets, *shape), rng)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("n_sets", [1, 2])
def test_trajectory_operator_normal(n_sets, is_weighted, rng):
    """AᴴA by convolution is Aᴴ after A, with derivatives recorded or not."""
    weight = torch.rand(4, 5, generator=rng) if is_weighted else None
    sampling, csm = Trajectory(random_coords(rng, 4, 5)), random_complex(rng, 2, n_sets, 3, 7, 8)
    operator = TrajectoryOperator(sampling, csm, weight)
    image = random_complex(rng, 2, n_sets, 7, 8)
    normal = operator.normal(image)
    torch.testing.assert_close(normal, operator.adjoint(operator.forward(image)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(operator.normal(image.requires_grad_()).detach(), normal, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 5, 8, 2), (5, 8, 3)])
def test_one_trajectory_in_two_dimensions_is_encoded(shape, rng):
    """Nothing else may look as if it were."""
    with pytest.raises(ValueError, match=r"^Trajectory: the coordinates have shape .*, \(shot, sample, 2\) expected$"):
        encoding_operator(Trajectory(torch.zeros(shape)), random_complex(rng, 1, 3, 6, 8))


def test_missing_library_is_named(monkeypatch, rng):
    """What to install, instead of a traceback."""
    monkeypatch.setitem(sys.modules, "finufft", None)
    with pytest.raises(ValueError, match=r"pip install kband\[noncart\]"):
        nufft(random_complex(rng, 6, 8), torch.zeros(4, 5, 2))


@pytest.mark.parametrize("n_samples", [32, 33])
def test_spokes_cover_the_disc(n_samples):
    """The areas of all samples sum to that of the disc of radius 1/2, up to the half step at its rim."""
    coords = spokes(torch.arange(25) * (math.pi / 25), n_samples)
    assert abs(radial_density(coords).sum() - math.pi / 4) < 1e-2


def test_golden_and_lost_spokes_have_their_own_sectors():
    """Weights are shares of the circle: they sum to the disc however the angles lie, and gaps weigh more."""
    angles = torch.arange(13) * math.radians(111.246)
    density = radial_density(spokes(angles, 32))
    lost = radial_density(spokes(angles[1:], 32))
    assert abs(density.sum() - math.pi / 4) < 1e-2
    assert abs(lost.sum() - math.pi / 4) < 1e-2
    assert lost[:, 0].max() > 1.4 * lost[:, 0].min()


def test_half_spokes_have_angles_of_the_whole_circle():
    """Each covers one side alone."""
    coords = spokes(torch.arange(24) * (2 * math.pi / 24), 33)[:, 16:]
    assert abs(radial_density(coords).sum() - math.pi / 4) < 2e-2


def test_interleaves_cover_the_disc():
    """Archimedean spirals: ∫ k dk over all interleaves is the disc."""
    turn = torch.linspace(0, 1, 400)
    angle = 8 * math.pi * turn + torch.arange(6)[:, None] * (math.pi / 3)
    coords = torch.stack((angle.sin() * turn, angle.cos() * turn), -1) / 2
    assert abs(spiral_density(coords).sum() - math.pi / 4) < 1e-2


def test_iterative_density_is_flat_on_a_grid():
    """Where every sample stands for the same area, all weights are equal (0.1 %)."""
    ky, kx = torch.meshgrid(*(((torch.arange(16) - 8) / 16,) * 2), indexing="ij")
    weight = iterative_density(torch.stack((ky, kx), -1), (16, 16))
    assert float(weight.max() / weight.min()) < 1.001


def test_iterative_density_of_spokes_is_a_ramp():
    """It needs no formula, and agrees with the one there is away from centre and rim (15 %)."""
    coords = spokes(torch.arange(51) * (math.pi / 51), 32)
    ratio = (iterative_density(coords, (32, 32)) / radial_density(coords))[:, 20:28]
    assert float((ratio / ratio.mean() - 1).abs().max()) < 0.15
