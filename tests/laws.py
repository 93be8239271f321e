"""Laws that many tests check: adjointness, agreement of images."""

import torch
from torch import Tensor

from kband_core.operators import EncodingOperator, encoding_operator
from kband_core.sampling import Grid


def nmse(image: Tensor, reference: Tensor) -> float:
    """Normalised squared error of `image` against `reference`."""
    return float((image - reference).abs().square().sum() / reference.abs().square().sum())


def all_samples(csm: Tensor) -> EncodingOperator:
    """The operator of a scan that left nothing out."""
    return encoding_operator(Grid(torch.ones(csm.shape[-2], 1, dtype=torch.bool)), csm)


def check_adjoint(operator, domain: tuple[int, ...], rng: torch.Generator) -> None:
    """<A x, y> = <x, Aᴴ y> to single precision, for random complex x and y; shapes are checked first."""
    x = torch.randn(domain, dtype=torch.complex64, generator=rng)
    ax = operator.forward(x)
    y = torch.randn(ax.shape, dtype=torch.complex64, generator=rng)
    aty = operator.adjoint(y)
    assert aty.shape == x.shape
    left = torch.vdot(y.flatten(), ax.flatten())
    right = torch.vdot(aty.flatten(), x.flatten())
    assert abs(left - right) < 1e-4 * abs(left) + 1e-3
