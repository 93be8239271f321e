"""Eigenvectors of many small operators at once, and their interpolation."""

import math

import pytest
import torch

from kband_core.eigenmaps import align_phase, dominant_eigenvectors, interpolate_eigenvectors, principal_coil


def operators(n_points, eigenvalues, rng):
    """Hermitian matrices with the given eigenvalues and random eigenvectors."""
    n_coils = len(eigenvalues)
    basis, _ = torch.linalg.qr(torch.randn(n_points, n_coils, n_coils, dtype=torch.complex64, generator=rng))
    return basis @ torch.diag(torch.tensor(eigenvalues, dtype=torch.complex64)) @ basis.mH, basis


def smooth_vectors(shape, n_coils=4):
    """Unit vectors `(y, x, coil, 1)` that turn smoothly and periodically over the field of view."""
    y, x = (torch.arange(n) / n - (n // 2) / n for n in shape)
    angle = 2 * math.pi * torch.arange(n_coils) / n_coils
    amplitude = 1.5 + torch.cos(2 * math.pi * y[:, None, None] + angle) * torch.cos(2 * math.pi * x[None, :, None])
    phase = torch.sin(2 * math.pi * x[None, :, None] + angle) + 0 * amplitude
    return torch.nn.functional.normalize(torch.polar(amplitude, phase), dim=-1).unsqueeze(-1)


def overlap(a, b):
    """|aᴴb| per point, 1 where two unit vectors are the same but for phase."""
    return (a.mH @ b).abs().squeeze((-2, -1))


@pytest.mark.parametrize("n_coils", [3, 5])
def test_dominant_eigenvectors_agree_with_lapack(n_coils, rng):
    """Fixed power 48 leaves (0.7)⁴⁸ = 4·10⁻⁸ of the second vector: single precision remains."""
    operator, basis = operators(50, [1.0, 0.7, 0.3, 0.1, 0.0][:n_coils], rng)
    values, vectors = dominant_eigenvectors(operator, n_sets=1)
    assert (values - 1).abs().max() < 1e-5
    assert overlap(vectors, basis[..., :1]).min() > 1 - 1e-5


def test_two_equal_eigenvalues_span_their_plane(rng):
    """Where two objects fold onto one pixel both eigenvalues are 1: any two vectors of the plane will do."""
    operator, basis = operators(50, [1.0, 1.0, 0.3, 0.1], rng)
    values, vectors = dominant_eigenvectors(operator, n_sets=2)
    plane = basis[..., :2]
    assert (values - 1).abs().max() < 1e-5
    assert (plane @ (plane.mH @ vectors) - vectors).abs().max() < 1e-4
    assert (vectors.mH @ vectors - torch.eye(2)).abs().max() < 1e-5


def test_second_eigenvalue_of_one_coil_is_zero():
    """A single coil spans one set of maps; a second one does not exist."""
    values, vectors = dominant_eigenvectors(torch.ones(5, 1, 1, dtype=torch.complex64), n_sets=2)
    assert torch.equal(values, torch.tensor([1.0, 0.0]).expand(5, 2))
    assert torch.isfinite(torch.view_as_real(vectors)).all()


@pytest.mark.parametrize("shape", [(40, 56), (41, 57)])
def test_interpolation_does_not_see_the_phase(shape, rng):
    """Random phases on the grid, as any eigensolver leaves them, change nothing; a cubic on 32 points errs by 0.3 %."""
    coarse = smooth_vectors((32, 32))
    phases = torch.randn(32, 32, 1, 1, generator=rng)
    values = torch.ones(32, 32, 1)
    _, plain = interpolate_eigenvectors(values, coarse, shape)
    _, turned = interpolate_eigenvectors(values, coarse * torch.polar(torch.ones_like(phases), phases), shape)
    assert (1 - overlap(plain, turned)).max() < 1e-5
    assert (1 - overlap(plain, smooth_vectors(shape)).square()).clamp(min=0).sqrt().max() < 3e-3


def test_interpolation_does_not_see_rotations_of_a_plane(rng):
    """With two equal eigenvalues the two vectors are mixed at random from point to point; their plane is smooth."""
    first = smooth_vectors((32, 32))
    second = smooth_vectors((32, 32)).roll(1, dims=-2)
    plane, _ = torch.linalg.qr(torch.cat([first, second], dim=-1))
    mixed = plane @ torch.linalg.qr(torch.randn(32, 32, 2, 2, dtype=torch.complex64, generator=rng))[0]
    values = torch.ones(32, 32, 2)
    _, plain = interpolate_eigenvectors(values, plane, (41, 56))
    _, turned = interpolate_eigenvectors(values, mixed, (41, 56))
    assert (plain @ (plain.mH @ turned) - turned).abs().max() < 1e-3


def test_aligned_phase_is_relative_to_the_principal_coil(rng):
    """The first virtual coil sees every vector with phase zero."""
    reference = principal_coil(torch.randn(4, 9, 9, dtype=torch.complex64, generator=rng))
    product = torch.einsum("c,yxcs->yxs", reference.conj(), align_phase(smooth_vectors((6, 7)), reference))
    assert (product.real > 0).all()
    assert product.imag.abs().max() < 1e-6


def test_parts_of_the_points_change_nothing(rng, monkeypatch):
    """Each point is computed by itself, and each row or column of them."""
    operator, _ = operators(30 * 20, [1.0, 0.7, 0.3], rng)
    operator = operator.unflatten(0, (1, 30, 20))
    whole = [dominant_eigenvectors(operator, n_sets=2)]
    whole.append(interpolate_eigenvectors(*whole[0], (41, 56)))
    monkeypatch.setattr("kband_core.eigenmaps.IN_CACHE", 1000)
    parts = [dominant_eigenvectors(operator, n_sets=2)]
    parts.append(interpolate_eigenvectors(*parts[0], (41, 56)))
    for one, other in zip(whole, parts, strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b)
