"""Derivatives along trajectories: for images, samples, maps and coordinates."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from kband_core.nufft import adjoint_nufft, nufft
from kband_core.operators import encoding_operator
from kband_core.reconstruct import sense
from kband_core.sampling import Trajectory
from tests.laws import nmse

pytest.importorskip("finufft")
SHAPES = [(4, 6), (5, 3)]


def random_complex(rng, *shape, dtype=torch.complex128) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=rng)


def random_coords(rng, *shape, dtype=torch.float64) -> torch.Tensor:
    return torch.rand(*shape, 2, dtype=dtype, generator=rng) - 0.5


def matrix(coords, shape) -> torch.Tensor:
    """The sum as it stands in the books: `(shot, sample, y, x)`, with autograd of torch's own."""
    y, x = (torch.arange(n, dtype=coords.dtype) - n // 2 for n in shape)
    ky, kx = coords.unbind(-1)
    phase = ky[..., None, None] * y[:, None] + kx[..., None, None] * x
    return torch.exp(-2j * math.pi * phase) / math.sqrt(math.prod(shape))


def exact(image, coords) -> torch.Tensor:
    return torch.einsum("...yx,styx->...st", image, matrix(coords, image.shape[-2:]))


def exact_adjoint(samples, coords, shape) -> torch.Tensor:
    return torch.einsum("...st,styx->...yx", samples, matrix(coords, shape).conj())


def gradients(compute, *inputs) -> tuple[torch.Tensor, ...]:
    """Of a loss that is neither linear nor quadratic."""
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    return torch.autograd.grad(compute(*leaves).abs().pow(3).sum(), leaves)


@pytest.mark.parametrize("shape", SHAPES)
def test_derivatives_of_nufft_are_those_of_the_sum(shape, rng):
    """For image and coordinates, over a batch, in double precision: 1e-9 is finufft's tolerance, and more."""
    inputs = random_complex(rng, 2, *shape), random_coords(rng, 3, 4)
    for ours, theirs in zip(gradients(nufft, *inputs), gradients(exact, *inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_derivatives_of_the_adjoint_are_those_of_the_sum(shape, rng):
    """For samples and coordinates."""
    inputs = random_complex(rng, 2, 3, 4), random_coords(rng, 3, 4)
    ours = gradients(lambda samples, coords: adjoint_nufft(samples, coords, shape), *inputs)
    theirs = gradients(lambda samples, coords: exact_adjoint(samples, coords, shape), *inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_derivatives_agree_with_differences(rng):
    """First and second ones, of which an unrolled network's trajectory needs both."""
    image, coords = random_complex(rng, 4, 3).requires_grad_(), random_coords(rng, 2, 3).requires_grad_()
    samples = random_complex(rng, 2, 3).requires_grad_()
    assert gradcheck(nufft, (image, coords))
    assert gradgradcheck(nufft, (image, coords))
    assert gradcheck(lambda *inputs: adjoint_nufft(*inputs, (4, 3)), (samples, coords))
    assert gradgradcheck(lambda *inputs: adjoint_nufft(*inputs, (4, 3)), (samples, coords))


def test_single_precision_has_the_same_derivatives(rng):
    """1e-4 of the gradient: finufft's 1e-6 of the largest sample, cubed and summed."""
    inputs = random_complex(rng, 6, 7), random_coords(rng, 3, 4)
    single = gradients(nufft, inputs[0].to(torch.complex64), inputs[1].float())
    for ours, theirs in zip(single, gradients(exact, *inputs), strict=True):
        assert nmse(ours.to(theirs.dtype), theirs) < 1e-8


@pytest.fixture
def encoding(rng):
    """Image, maps of three coils, and coordinates, in single precision, as the operator has them."""
    csm = random_complex(rng, 1, 3, 6, 7, dtype=torch.complex64)
    return random_complex(rng, 1, 6, 7, dtype=torch.complex64), csm, random_coords(rng, 5, 4, dtype=torch.float32)


@pytest.mark.parametrize("way", ["forward", "adjoint", "normal"])
def test_derivatives_of_the_operator_are_those_of_the_sum(way, encoding):
    """For what it is applied to, for maps, and for coordinates, whether or not these ask for one."""

    def by_sum(image, csm, coords):
        if way == "adjoint":
            return (csm.conj() * exact_adjoint(exact(csm * image[:, None], coords).detach(), coords, (6, 7))).sum(1)
        samples = exact((csm * image[:, None]).sum(0), coords)
        if way == "forward":
            return samples
        return (csm.conj() * exact_adjoint(samples, coords, (6, 7))).sum(1)

    def by_operator(image, csm, coords):
        operator = encoding_operator(Trajectory(coords), csm)
        applied = operator.forward(image) if way == "adjoint" else image
        return getattr(operator, way)(applied.detach() if way == "adjoint" else image)

    wanted = [slot for slot in range(3) if not (way == "adjoint" and slot == 0)]
    of_coords = gradients_of(by_operator, encoding, wanted)
    for ours, theirs in zip(of_coords, gradients_of(by_sum, encoding, wanted), strict=True):
        assert nmse(ours, theirs) < 1e-8
    fixed = [slot for slot in wanted if slot != 2]  # then `normal` is a convolution
    for ours, theirs in zip(gradients_of(by_operator, encoding, fixed), of_coords, strict=False):
        assert nmse(ours, theirs) < 1e-8


def gradients_of(compute, inputs, slots) -> tuple[torch.Tensor, ...]:
    leaves = [tensor.clone().requires_grad_(slot in slots) for slot, tensor in enumerate(inputs)]
    return torch.autograd.grad(compute(*leaves).abs().square().sum(), [leaves[slot] for slot in slots])


def test_a_solution_reached_early_has_derivatives(encoding):
    """Steps behind a residual of zero, as of a plane without signal, divide nothing by nothing: no gradient is NaN."""
    image, csm, coords = encoding
    kspace = encoding_operator(Trajectory(coords), csm).forward(image).detach()
    kspace = torch.stack((kspace, torch.zeros_like(kspace)))

    def solved(n_iterations):
        return gradients_of(
            lambda kspace, csm, coords: sense(kspace, Trajectory(coords), csm, regularisation=5.0,
                                              n_iterations=n_iterations),
            (kspace, csm, coords), [0, 1, 2],
        )  # fmt: skip

    for early, late in zip(solved(12), solved(60), strict=True):
        assert torch.isfinite(torch.view_as_real(late) if late.is_complex() else late).all()
        assert nmse(late, early) < 1e-4
