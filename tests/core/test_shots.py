"""Spokes of which some were measured: their operator, their angles, brightness and noise told from the shots alone."""

import math

import pytest
import torch

from kband_core.density import radial_density
from kband_core.nufft import nufft
from kband_core.operators import encoding_operator
from kband_core.shot_angles import interleaf_angles, nyquist_shots, nyquist_spokes, spoke_angles
from kband_core.shots import Shots, even_weight, shots_noise, shots_scale
from kband_core.trajectories import spirals, spokes
from tests.laws import check_adjoint, nmse

pytest.importorskip("finufft")
N = 48


def evenly(n_spokes: int, n_samples: int = 2 * N) -> torch.Tensor:
    return spokes(math.pi * (torch.arange(n_spokes, dtype=torch.float64) + 0.3) / n_spokes, n_samples)


def operator(rng, shape=(7, 9)):
    """Two planes, two sets, three coils; of each plane other spokes and samples were measured."""
    coords = torch.rand(2, 5, 11, 2, generator=rng) - 0.5
    weight = torch.rand(2, 5, 11, generator=rng)
    weight[0, 1], weight[1, 2:], weight[1, 0, 6:] = 0, 0, 0
    csm = torch.randn(2, 2, 3, *shape, dtype=torch.complex64, generator=rng)
    return encoding_operator(Shots(coords, weight), csm)


def test_shots_adjoint(rng):
    """<A x, y> = <x, Aᴴ y>: without it conjugate gradient does not converge."""
    check_adjoint(operator(rng), (2, 2, 7, 9), rng)


def test_the_normal_operator_is_adjoint_after_forward(rng):
    """A convolution with the weighted point-spread function of each plane; 1e-6 of the root is single precision."""
    a, image = operator(rng), torch.randn(2, 2, 7, 9, dtype=torch.complex64, generator=rng)
    assert nmse(a.normal(image), a.adjoint(a.forward(image))) < 1e-11


def test_what_was_not_measured_is_zero(rng):
    """And what was measured is what one plane alone gives, times its weight."""
    a, image = operator(rng), torch.randn(2, 2, 7, 9, dtype=torch.complex64, generator=rng)
    samples, (coords, weight) = a.forward(image), (a.sampling.coords, a.sampling.weight)
    assert not samples[0, :, 1].any()
    alone = nufft((a.csm[0] * image[0][:, None]).sum(0), coords[0]) * weight[0]
    assert nmse(samples[0], alone) < 1e-10


def test_derivatives_pass_through_what_is_compared(rng):
    """The loss along spokes needs the gradient of forward: it is the adjoint of the residual."""
    a, image = operator(rng), torch.randn(2, 2, 7, 9, dtype=torch.complex64, generator=rng).requires_grad_()
    target = torch.randn_like(a.forward(image.detach()))
    (a.forward(image) - target).abs().square().sum().backward()
    assert nmse(image.grad, 2 * a.adjoint(a.forward(image.detach()) - target)) < 1e-10


def scan(rng, n_spokes, noise=0.0):
    """A disc seen by two coils whose maps fill the field of view; SD of the noise of a sample."""
    y, x = (torch.arange(N) - N // 2 for _ in range(2))
    disc = (torch.hypot(y[:, None].float(), x.float()) < 15).to(torch.complex64)
    csm = torch.full((1, 2, N, N), 0.5**0.5, dtype=torch.complex64)
    coords = evenly(n_spokes)
    kspace = nufft(csm[0] * disc, coords)
    return kspace + noise * torch.randn(kspace.shape, dtype=kspace.dtype, generator=rng), coords, csm


@pytest.mark.parametrize("some", [slice(None, None, 8), slice(10, 30)])
def test_a_few_spokes_tell_the_brightness_of_all(some, rng):
    """One in eight, or a sector: a network must meet the same scale in each. 3 % is what a disc off no axis leaves."""
    kspace, coords, csm = scan(rng, 80)
    density = radial_density(coords)
    part = torch.zeros(80, 1)
    part[some] = 1
    scales = [shots_scale(kspace, coords, each, csm) for each in (density, density * part)]
    assert float(scales[1] / scales[0]) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("noise", [0.001, 0.1])
def test_the_noise_is_what_lies_beside_the_field_of_view(noise, rng):
    """20 spokes of 96 samples, half of them beside it: 5 % is three times what chance leaves."""
    kspace, coords, _ = scan(rng, 20, noise)
    assert float(shots_noise(kspace, coords, (N, N))) == pytest.approx(noise, rel=0.05)


def test_a_readout_without_oversampling_tells_no_noise(rng):
    """Its projection fills all of the band."""
    coords = evenly(5, N)
    with pytest.raises(ValueError, match=r"samples lie 1.00 of the field of view's distance apart, 0.8 at most needed"):
        shots_noise(torch.randn(2, 5, N, dtype=torch.complex64, generator=rng), coords, (N, N))


def test_silence_has_no_scale():
    """A network divides by it."""
    coords = evenly(5)
    with pytest.raises(ValueError, match="the centre of k-space holds no signal"):
        shots_scale(
            torch.zeros(2, 5, 2 * N, dtype=torch.complex64), coords, radial_density(coords),
            torch.ones(1, 2, N, N, dtype=torch.complex64),
        )  # fmt: skip


def test_angles_are_those_of_the_spokes():
    """Modulo half a turn, from kx towards ky; the delay of a gradient moves a spoke aside, and turns nothing."""
    angles = torch.tensor([10.0, 100.0, 190.0, 350.0], dtype=torch.float64)
    coords = spokes(angles.deg2rad(), 64) + torch.tensor([0.002, -0.001])
    assert spoke_angles(coords).tolist() == pytest.approx([10, 100, 10, 170], abs=1e-3)


@pytest.mark.parametrize(
    ("coords", "sentence"),
    [
        (spirals(4, 32), "spokes: 4 of 4 shots are not straight"),
        (evenly(3)[:, N:], "spokes: 3 of 3 shots begin near the centre; whole spokes expected"),
    ],
)
def test_what_is_no_spoke_has_no_angle(coords, sentence):
    """Sectors and drawing go by the angle."""
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        spoke_angles(coords)


def test_interleaves_are_told_by_how_far_they_are_turned():
    """Modulo a whole turn, whatever their curve; half spokes are such a curve."""
    turns = torch.tensor([0, 45, 200, 350], dtype=torch.float64)
    for curve in (spirals(1, 32), spokes(torch.zeros(1), 2 * N)[:, N:]):
        y, x = curve[0].double().unbind(-1)
        coords = torch.stack([torch.stack((x * t.sin() + y * t.cos(), x * t.cos() - y * t.sin()), -1)
                              for t in turns.deg2rad()]).float()  # fmt: skip
        told = interleaf_angles(coords)
        assert ((told - told[0]) % 360).tolist() == pytest.approx(turns.tolist(), abs=1e-3)


def test_shots_of_several_curves_have_no_angle():
    """Such as a spiral among others that is longer than they are: one sentence."""
    coords = spirals(4, 32)
    coords[2] *= 0.9
    with pytest.raises(ValueError, match=r"^shots: 1 of 4 are neither spokes nor the first one turned$"):
        nyquist_shots(coords, (32, 32))


@pytest.mark.parametrize("n_interleaves", [12, 30])
def test_nyquist_counts_interleaves_as_their_formula_does(n_interleaves):
    """The spiral was made for so many; spokes have a rule of their own."""
    assert nyquist_shots(spirals(n_interleaves, 80, 2), (80, 80)) == n_interleaves
    assert nyquist_shots(evenly(7), (64, 48)) == nyquist_spokes((64, 48))


def test_nyquist_is_a_sample_apart_at_the_rim():
    """π/2·N spokes: half a turn of the rim, N/2 from the centre, in steps of 1."""
    assert nyquist_spokes((64, 48)) == 101


def test_the_weight_of_a_sample_does_not_depend_on_its_company():
    """The noise of a sample is the same, whatever else was measured."""
    assert torch.equal(even_weight(evenly(10))[::2], even_weight(evenly(10)[::2]))
    assert float(even_weight(torch.tensor([[[0.5, 0.0]]]))) == 1
