"""A guise is another true image of the same samples; what depends on the guise alone is averaged away."""

import pytest
import torch

from kband_core.coils import combine
from kband_core.fourier import to_kspace
from kband_core.reconstruct import network_sets, sense_sets
from kband_core.sampling import Grid
from kband_core.self_ensemble import GUISES, Guise, conjugate_mirror

SIZES = [(6, 6), (7, 6), (6, 7), (7, 7)]


def scan_of(n_y, n_x, seed=0):
    """An image, maps of two coils, the rows acquired and their samples."""
    rng = torch.Generator().manual_seed(seed)
    image, csm = (torch.randn(*coils, n_y, n_x, dtype=torch.complex64, generator=rng) for coils in [(1, 1), (1, 1, 2)])
    rows = (torch.rand(n_y, 1, generator=rng) < 0.7).expand(n_y, n_x)
    return image, csm, Grid(rows), to_kspace((image[:, :, None] * csm)[:, 0]) * rows


@pytest.mark.parametrize("size", SIZES)
def test_the_mirror_is_about_the_origin(size):
    """Pixel r goes to −r, counted from N//2; the border of an even side stays."""
    image, *_ = scan_of(*size)
    mirrored = conjugate_mirror(image)
    for y in range(size[0]):
        for x in range(size[1]):
            opposite = [(2 * (n // 2) - i) % n for n, i in zip(size, (y, x), strict=True)]
            assert mirrored[0, 0, y, x] == image[0, 0, opposite[0], opposite[1]].conj()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("guise", GUISES)
def test_a_guise_is_a_scan_of_another_image(size, guise):
    image, csm, sampling, kspace = scan_of(*size)
    other = guise.turn * (conjugate_mirror(image) if guise.mirrored else image)
    seen, maps = guise.of_scan(kspace, csm)
    assert torch.allclose(seen, to_kspace((other[:, :, None] * maps)[:, 0]) * sampling.mask, atol=1e-5)
    assert torch.allclose(guise.undone(other), image, atol=1e-6)
    assert not torch.allclose(other, image, atol=0.1)


def test_no_guise_comes_twice():
    assert len({*GUISES, Guise(1, mirrored=False)}) == len(GUISES) + 1


class Biased(torch.nn.Module):
    """Combines the coils, and adds the same to every pixel of every scan."""

    def forward(self, kspace, operator, noise):
        return operator.adjoint(kspace) + (0.3 + 0.1j)


@pytest.mark.parametrize(("n_guises", "is_gone"), [(1, False), (2, True), (3, False), (4, True)])
def test_what_a_network_adds_to_every_scan_is_averaged_away(n_guises, is_gone):
    _, csm, sampling, kspace = scan_of(7, 6)
    ones = torch.ones(1)
    found = network_sets(kspace, sampling, csm, Biased(), ones, ones, n_guises)
    truth = network_sets(kspace, sampling, csm, lambda y, operator, noise: operator.adjoint(y), ones, ones)
    assert torch.allclose(found, truth, atol=1e-6) == is_gone


@pytest.mark.parametrize("n_guises", [0, 5])
def test_no_label_counts_guises_that_there_are_not(n_guises):
    _, csm, sampling, kspace = scan_of(6, 6)
    with pytest.raises(ValueError, match=rf"^self_ensemble is {n_guises}, 1 to 4 guises expected$"):
        network_sets(kspace, sampling, csm, Biased(), torch.ones(1), torch.ones(1), n_guises)


def test_what_treats_all_guises_alike_makes_the_same_image():
    _, csm, sampling, kspace = scan_of(6, 7)

    def cg(kspace, operator, noise):
        return sense_sets(kspace, sampling, operator.csm, regularisation=0.01, n_iterations=5)

    one, four = (network_sets(kspace, sampling, csm, cg, torch.ones(1), torch.ones(1), n) for n in (1, 4))
    assert torch.allclose(one, four, atol=1e-5)
    assert not torch.allclose(one, combine(kspace, csm), atol=0.1)
