"""RAKI's network: the convolution it is written to be, and faithful to what was measured."""

from itertools import product

import pytest
import torch

from kband_core.patterns import equispaced_lines
from kband_core.raki.network import RakiNetwork, apply_raki, complex_leaky_relu
from kband_core.sampling import Grid


def gaussian(rng, *shape):
    return torch.randn(*shape, dtype=torch.complex64, generator=rng)


def random_network(rng, acceleration, *, n_coils=3, slope=0.5, skip=False, batch=()):
    n_offsets = acceleration - 1
    shapes = [(6, n_coils, 2, 5), (4, 6, 1, 1), (n_coils * n_offsets, 4, 1, 5)]
    layers = tuple(gaussian(rng, *batch, *shape) for shape in shapes)
    path = gaussian(rng, *batch, n_coils * n_offsets, n_coils, 2, 5) if skip else None
    return RakiNetwork(layers, slope, acceleration, skip=path)


def convolve_by_hand(lines, weights):
    result = torch.zeros(weights.shape[0], *lines.shape[1:], dtype=lines.dtype)
    n_groups, n_columns = lines.shape[1:]
    before, middle = (weights.shape[2] - 1) // 2, weights.shape[3] // 2
    for group, column, line, sample in product(*(range(n) for n in (*lines.shape[1:], *weights.shape[2:]))):
        seen = lines[:, (group + line - before) % n_groups, (column + sample - middle) % n_columns]
        result[:, group, column] += weights[:, :, line, sample] @ seen
    return result


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("shape", [(4, 8), (3, 7), (1, 6)])
@pytest.mark.parametrize("acceleration", [2, 3])
@pytest.mark.parametrize("skip", [False, True])
def test_network_is_the_convolution_by_hand(shape, acceleration, skip, rng):
    """Taps at g and g+1, samples centred, both axes wrapping, outputs ordered coil, offset: only rounding differs."""
    network = random_network(rng, acceleration, skip=skip)
    lines = gaussian(rng, 3, *shape)
    channels = lines
    for layer in network.layers[:-1]:
        z = convolve_by_hand(channels, layer)
        channels = torch.complex(*(torch.where(part < 0, 0.5 * part, part) for part in (z.real, z.imag)))
    expected = convolve_by_hand(channels, network.layers[-1])
    if skip:
        expected = expected + convolve_by_hand(lines, network.skip)
    expected = expected.reshape(3, acceleration - 1, *shape)
    assert relative(network.forward(lines), expected) < 1e-6


def test_pre_activations_enter_the_activation(rng):
    """The last layer sees the activated last of them: image space rebuilds the network from these (rounding)."""
    network = random_network(rng, 3)
    lines = gaussian(rng, 3, 4, 8)
    first, second = network.pre_activations(lines)
    assert relative(second, convolve_by_hand(complex_leaky_relu(first, 0.5), network.layers[1])) < 1e-6


def test_positive_factors_pass_through(rng):
    """f(cx) = c f(x) for c > 0, which lets the fit choose its own scale; for c < 0 the activation bends elsewhere."""
    network, lines = random_network(rng, 3, skip=True), gaussian(rng, 3, 4, 8)
    assert relative(network(1e4 * lines), 1e4 * network(lines)) < 1e-6
    assert relative(network(-lines), -network(lines)) > 1e-2


def test_slope_one_is_a_linear_kernel(rng):
    """Without bending, the layers collapse to one kernel of 2 × 9, GRAPPA's kind (rounding)."""
    network, lines = random_network(rng, 3, slope=1), gaussian(rng, 3, 5, 11)
    first, middle, last = (layer.to(torch.complex128) for layer in network.layers)
    kernel = torch.zeros(6, 3, 2, 9, dtype=torch.complex128)
    for sample in range(5):
        kernel[..., sample : sample + 5] += torch.einsum(
            "ab,bc,cdls->adls", last[:, :, 0, sample], middle[..., 0, 0], first
        )
    expected = convolve_by_hand(lines.to(torch.complex128), kernel).reshape(3, 2, 5, 11)
    assert relative(network(lines), expected.to(lines.dtype)) < 1e-6


def test_slices_have_their_own_weights(rng):
    """A batch of two networks equals each alone (rounding)."""
    network, lines = random_network(rng, 2, batch=(2,), skip=True), gaussian(rng, 2, 3, 4, 8)
    for number in range(2):
        layers = tuple(layer[number] for layer in network.layers)
        alone = RakiNetwork(layers, 0.5, 2, skip=network.skip[number])
        assert relative(network(lines)[number], alone(lines[number])) < 1e-6


def test_layers_must_fit():
    """Weights from elsewhere are refused where they do not fit, not where the product fails."""
    zeros = torch.zeros
    with pytest.raises(ValueError, match="layer 1 makes 6 channels, but layer 2 takes 5"):
        RakiNetwork((zeros(6, 3, 2, 5), zeros(3, 5, 1, 5)), 0.5, 2)
    with pytest.raises(ValueError, match="the last layer makes 6 channels for 3 coils, but R=2 of 3 coils needs 3"):
        RakiNetwork((zeros(6, 3, 2, 5), zeros(6, 6, 1, 5)), 0.5, 2)
    with pytest.raises(ValueError, match="R=1"):
        RakiNetwork((zeros(6, 3, 2, 5), zeros(6, 6, 1, 5)), 0.5, 1)


@pytest.mark.parametrize(("n_lines", "acceleration", "offset"), [(12, 2, 0), (12, 3, 2), (13, 3, 1), (14, 4, 3)])
def test_every_line_comes_from_its_gap(n_lines, acceleration, offset, rng):
    """Offset o of group g is line first + gR + o, also before the first line and where R does not divide ky."""
    network, kspace = random_network(rng, acceleration), gaussian(rng, 3, n_lines, 8)
    sampling = equispaced_lines(n_lines, acceleration, offset=offset)
    filled = apply_raki(network, kspace * sampling.mask, sampling)
    n_groups = -(-n_lines // acceleration)
    padded = torch.zeros(3, n_groups * acceleration, 8, dtype=kspace.dtype)
    padded[:, :n_lines] = kspace * sampling.mask
    predicted = network(padded[:, offset::acceleration])
    for group, number in product(range(n_groups), range(acceleration - 1)):
        line = (offset + group * acceleration + number + 1) % padded.shape[1]
        if line < n_lines:
            assert torch.equal(filled[:, line], predicted[:, :, group][:, number])
    lines = sampling.lines()
    assert torch.equal(filled[:, lines], kspace[:, lines])


def test_calibration_lines_are_kept_or_predicted(rng):
    """The sampling says what was measured: with the ACS in it the lines come back bit by bit."""
    network, kspace = random_network(rng, 3), gaussian(rng, 3, 30, 8)
    grid, sampling = equispaced_lines(30, 3), equispaced_lines(30, 3, acs_lines=8)
    acquired, lines = kspace * sampling.mask, sampling.lines()
    assert torch.equal(apply_raki(network, acquired, sampling)[:, lines], kspace[:, lines])
    assert not torch.equal(apply_raki(network, acquired, grid)[:, lines], kspace[:, lines])


def test_partial_fourier_stays_partial(rng):
    """Beyond one gap outside the acquired lines there is no source: those lines stay empty."""
    network, kspace = random_network(rng, 4), gaussian(rng, 3, 40, 8)
    sampling = equispaced_lines(40, 4).within(torch.arange(40)[:, None] >= 10)
    filled = apply_raki(network, kspace * sampling.mask, sampling)
    assert (filled.abs().sum((0, 2)) > 0).nonzero().flatten().tolist() == list(range(12 - 3, 40))


def test_what_cannot_be_filled_is_said(rng):
    network, kspace = random_network(rng, 3), gaussian(rng, 3, 12, 8)
    sampling = equispaced_lines(12, 3)
    with pytest.raises(ValueError, match="the network has 3 coils, but kspace has 2"):
        apply_raki(network, kspace[:2], sampling)
    with pytest.raises(ValueError, match="none of the 12 lines"):
        apply_raki(network, kspace, Grid(torch.zeros(12, 1, dtype=torch.bool)))
    broken = kspace.clone()
    broken[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="1 of 288 samples are not finite"):
        apply_raki(network, broken, sampling)
    lost = sampling.within(torch.arange(12)[:, None] != 6)
    with pytest.raises(ValueError, match=r"line 6 of the R=3 grid is missing \(1 of 4\)"):
        apply_raki(network, kspace, lost)
