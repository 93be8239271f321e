"""Trained networks before training: sizes, precision, batch, and what they start from."""

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from kband_core.networks import build, consistency
from kband_core.networks.blocks import Multiscale, ResNet, to_channels, to_complex
from kband_core.networks.kiki import Kiki
from kband_core.operators import GridOperator, encoding_operator
from kband_core.sampling import Grid
from tests.laws import nmse

SMALL = {
    "resnet": ("modl", {"unrolls": 2, "blocks": 2, "channels": 4, "kernel": 7, "cg_iterations": 4}),
    "multiscale": (
        "modl",
        {"unrolls": 2, "denoiser": "multiscale", "blocks": 1, "channels": 8, "wide": 8, "cg_iterations": 4},
    ),
    "remembering": (
        "modl",
        {"unrolls": 3, "denoiser": "multiscale", "blocks": 1, "channels": 8, "wide": 8, "cg_iterations": 4,
         "shared": False, "remembers": True},
    ),
    "unet": ("unet", {"channels": 4, "scales": 3}),
    "kiki": ("kiki", {"layers": 3, "channels": 4}),
}  # fmt: skip


def network(kind: str, **changes) -> nn.Module:
    """A small network with random weights throughout: the multiscale one would otherwise change nothing."""
    torch.manual_seed(0)
    name, config = SMALL[kind]
    made = build(name, **{**config, **changes})
    for part in made.modules():
        if isinstance(part, Multiscale):
            nn.init.normal_(part.tail.weight, std=0.1)
    if isinstance(made, Kiki):
        for part in made.parts:
            nn.init.normal_(part[-1].weight, std=0.1)
    return made


def inputs(rng, shape=(12, 10), *, n=2, n_sets=1, n_coils=3, lines=True) -> tuple:
    """K-space, operator and noise of `n` scans; maps with Σ|S|² = 1."""
    csm = torch.randn(n, n_sets, n_coils, *shape, dtype=torch.complex64, generator=rng)
    csm = csm / torch.linalg.vector_norm(csm, dim=(-4, -3), keepdim=True)
    mask = torch.rand(n, shape[0], 1 if lines else shape[1], generator=rng) > 0.5
    image = torch.randn(n, n_sets, *shape, dtype=torch.complex64, generator=rng)
    operator = encoding_operator(Grid(mask), csm)
    return operator.forward(image), operator, torch.linspace(0.01, 0.1, n)


def with_maps(operator: GridOperator, csm: torch.Tensor) -> GridOperator:
    """The same sampling of other coils."""
    return encoding_operator(operator.sampling, csm)


@pytest.mark.parametrize(("blocks", "parameters"), [(6, 2_019_840), (8, 2_822_656)])
def test_published_network_has_the_published_size(blocks, parameters):
    """Knee 6 blocks, brain 8, 64 channels, 7 × 7; and λ with its dependence on noise, one each."""
    assert sum(p.numel() for p in ResNet(blocks).parameters()) == parameters
    assert sum(p.numel() for p in build("modl", blocks=blocks).parameters()) == parameters + 2


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize(("kind", "shape"), [
    ("multiscale", (1, 1)), ("multiscale", (7, 9)), ("multiscale", (8, 12)),
    ("unet", (1, 5)), ("unet", (7, 9)), ("unet", (16, 24)), ("resnet", (4, 5)), ("resnet", (9, 7)),
])  # fmt: skip
def test_any_size(kind, shape, lines, rng):
    """Odd, even, smaller than a scale's step: the image has the size of its k-space, and numbers in it."""
    image = network(kind)(*inputs(rng, shape, lines=lines))
    assert image.shape == (2, 1, *shape)
    assert image.dtype == torch.complex64
    assert torch.isfinite(torch.view_as_real(image)).all()


@pytest.mark.parametrize("kind", SMALL)
def test_batch_is_one_by_one(kind, rng):
    """No scan knows its neighbours in the batch, whose masks and noise differ (single precision)."""
    model, (kspace, operator, noise) = network(kind).eval(), inputs(rng, n=3)
    together = model(kspace, operator, noise).detach()
    for n in range(3):
        one = slice(n, n + 1)
        alone = encoding_operator(operator.sampling[one], operator.csm[one])
        assert nmse(model(kspace[one], alone, noise[one])[0].detach(), together[n]) < 1e-10


@pytest.mark.parametrize("kind", SMALL)
def test_two_sets_of_maps(kind, rng):
    """Soft SENSE: an empty second set stays empty and changes nothing in the first (single precision)."""
    kspace, operator, noise = inputs(rng)
    two = with_maps(operator, torch.cat([operator.csm, torch.zeros_like(operator.csm)], 1))
    model = network(kind)
    one, both = (model(kspace, each, noise).detach() for each in (operator, two))
    assert nmse(both[:, :1], one) < 1e-10
    if kind != "unet":  # which has no data consistency to keep it empty
        assert both[:, 1].abs().max() == 0


def test_untrained_multiscale_is_regularised_sense(rng):
    """Its denoiser is the identity: K unrolls from the SENSE image are K + 1 steps x ← (AᴴA + λ)⁻¹(Aᴴy + λx), here by
    the inverse of the whole matrix (120 unknowns).
    """
    name, config = SMALL["multiscale"]
    kspace, operator, noise = inputs(rng, n=1)
    image = build(name, **{**config, "start": "sense", "cg_iterations": 60})(kspace, operator, noise).detach()
    pixels = torch.eye(120, dtype=torch.complex64).reshape(120, 1, 12, 10)
    inverse = torch.linalg.inv(operator.normal(pixels).reshape(120, 120).T + 0.05 * torch.eye(120))
    adjoint = operator.adjoint(kspace).flatten()
    expected = torch.zeros_like(adjoint)
    for _ in range(config["unrolls"] + 1):
        expected = inverse @ (adjoint + 0.05 * expected)
    assert nmse(image.flatten(), expected) < 1e-10


@pytest.mark.parametrize("kind", SMALL)
def test_bfloat16_stays_inside_convolutions(kind, rng, monkeypatch):
    """Eight bits of mantissa would ruin FFT and conjugate gradient: they see complex64, weights stay float32."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    model, convolved, solved = network(kind, bf16=True), [], []
    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            part.register_forward_hook(lambda _part, _inputs, output: convolved.append(output.dtype))

    def watched(operator, b, *args):
        solved.append(b.dtype)
        return solve(operator, b, *args)

    solve = consistency.solve_normal
    monkeypatch.setattr(consistency, "solve_normal", watched)
    image = model(*inputs(rng))
    image.abs().sum().backward()
    assert set(convolved) == {torch.bfloat16}
    assert {image.dtype, *solved} == {torch.complex64}
    unrolls = SMALL[kind][1].get("unrolls", 0)
    assert len(solved) == 2 * unrolls  # forward and backward
    assert {p.dtype for p in model.parameters()} == {p.grad.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", SMALL)
def test_a_machine_without_bfloat16_computes_in_float32(kind, rng, monkeypatch):
    """Emulated it is two to five times slower. The image is that of the network which was never told to."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "avx512_bf16": False})
    scan = inputs(rng)
    assert torch.equal(network(kind, bf16=True)(*scan), network(kind)(*scan))


def test_reflected_borders_are_those_of_torch(rng):
    """Our denoiser, whose padding keeps nothing for its backward pass, against the plain one: images and gradients."""
    ours = ResNet(3, 4, 5)
    for block in ours.blocks:
        nn.init.normal_(block.first.weight, std=0.2)
    image = torch.randn(2, 7, 9, dtype=torch.complex64, generator=rng)

    def plainly(image: torch.Tensor) -> torch.Tensor:
        features = channels = to_channels(image)
        for block in ours.blocks:
            between = reflected(block.first, torch.relu(features))
            between = torch.relu(between) if block.activated else between
            features = block.skip(features) + reflected(block.second, between)
        return to_complex(channels + features)

    def reflected(convolution: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        return convolution(nn.functional.pad(x, (2, 2, 2, 2), mode="reflect"))

    image.requires_grad_()
    wanted = [image, *ours.parameters()]
    one, other = ours(image, None)[0], plainly(image)
    torch.testing.assert_close(one, other)
    for a, b in zip(*(torch.autograd.grad(x.abs().square().sum(), wanted) for x in (one, other)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("start", ["sense", "adjoint"])
def test_gradient_reaches_every_parameter(kind, start, rng):
    """A parameter without gradient is never trained; λ and its dependence on noise included."""
    model = network(kind, **({"start": start, "shared": False} if SMALL[kind][0] == "modl" else {}))
    model(*inputs(rng)).abs().square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert without == []


@pytest.mark.parametrize("parameter", [-20.0, 0.0, 20.0])
def test_regularisation_is_positive(parameter):
    """λ ≤ 0 would let AᴴA + λ be singular: softplus, for any noise from none to more noise than signal."""
    model = build("modl", blocks=2, channels=4)
    nn.init.constant_(model.weight, parameter)
    nn.init.constant_(model.weight_by_noise, 1.0)
    assert (model._weight(0, torch.tensor([0.0, 1e-4, 0.03, 1.0, 10.0])) > 0).all()


def test_regularisation_starts_where_it_was_set():
    """Whatever the noise."""
    weight = build("modl", blocks=2, channels=4, weight=0.05)._weight(0, torch.tensor([0.001, 0.03, 1.0]))
    torch.testing.assert_close(weight.flatten(), torch.full((3,), 0.05))


def test_memory_of_training_does_not_grow_with_iterations(rng):
    """Bytes kept for the backward pass of the whole network, 3 and 30 iterations."""

    def kept(cg_iterations: int) -> int:
        sizes = []
        with saved_tensors_hooks(lambda x: sizes.append(x.nbytes) or x, lambda x: x):
            network("multiscale", cg_iterations=cg_iterations)(*scans)
        return sum(sizes)

    scans = inputs(rng)
    assert kept(3) == kept(30)


def test_nothing_is_invented_where_there_are_no_maps(rng):
    """Outside the maps' support nothing was measured: zero, whatever the denoiser says."""
    kspace, operator, noise = inputs(rng)
    csm = operator.csm.clone()
    csm[..., :4] = 0
    for kind in ("resnet", "multiscale", "kiki"):
        assert network(kind)(kspace, with_maps(operator, csm), noise)[..., :4].abs().max() == 0


@pytest.mark.parametrize(("name", "config", "sentence"), [
    ("modle", {}, "no network 'modle'; networks are kiki, line_evaluator, modl, pkt, unet, upnet"),
    ("modl", {"unrols": 3}, "network modl: no setting 'unrols'; settings are unrolls, denoiser"),
    ("modl", {"remembers": True}, "modl: remembers needs multiscale denoisers, one for each unroll"),
    ("modl", {"denoiser": "bm3d"}, "modl: no denoiser 'bm3d'; denoisers are resnet, multiscale"),
    ("modl", {"start": "zero"}, "modl: no start 'zero'; starts are sense, adjoint"),
    ("modl", {"unrolls": 0}, "modl: unrolls is 0, 1 to 64 expected"),
    ("modl", {"unrolls": 10**9}, "modl: unrolls is 1000000000, 1 to 64 expected"),
    ("modl", {"weight": float("nan")}, "modl: weight is nan, 1e-09 to 100 expected"),
    ("unet", {"scales": 10**9}, "unet: 32 channels on 1000000000 scales, 1 to 256 on 1 to 8 expected"),
    ("kiki", {"order": "kikx"}, "kiki: order is 'kikx', 1 to 16 letters k and i expected, such as kiki"),
    ("kiki", {"layers": 1}, "kiki: 1 layers of 64 channels, 2 to 64 of 1 to 1024 expected"),
    ("kiki", {"trained": "first"}, "kiki: trained is 'first', all or last expected"),
    ("modl", {"blocks": 1}, "resnet: 1 blocks, at least 2 needed"),
    ("modl", {"kernel": 4}, "resnet: kernel of 4 pixels, an odd number needed"),
])  # fmt: skip
def test_unknown_settings_are_named(name, config, sentence):
    """And what is known, in one sentence."""
    with pytest.raises(ValueError, match=sentence):
        build(name, **config)
