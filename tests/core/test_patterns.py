"""Masks: as many samples as promised, where promised, and the same again from the same generator."""

import sys

import pytest
import torch

from kband_core.patterns import equispaced_lines, poisson_disc, variable_density_lines


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("n_lines", "offset"), [(12, 0), (12, 2), (13, 1)])
def test_equispaced_lines_are_equispaced(n_lines, offset):
    """Distance between lines is the acceleration, from the offset to the last line."""
    lines = equispaced_lines(n_lines, 3, offset=offset).lines().nonzero().flatten()
    assert lines.tolist() == list(range(offset, n_lines, 3))


@pytest.mark.parametrize(("n_lines", "acs_lines", "expected"), [(12, 4, range(4, 8)), (13, 5, range(4, 9))])
def test_acs_is_centred_at_dc(n_lines, acs_lines, expected):
    """The ACS block lies around line N//2, on top of the equispaced lines, for even and odd N."""
    without, with_acs = (equispaced_lines(n_lines, 4, acs_lines=n).lines() for n in (0, acs_lines))
    added = with_acs & ~without
    assert set(added.nonzero().flatten().tolist()) == set(expected) - set(range(0, n_lines, 4))


@pytest.mark.parametrize(
    ("n_lines", "acceleration", "acs_lines"), [(256, 4, 24), (255, 3.3, 17), (40, 8, 5), (16, 1, 4)]
)
def test_variable_density_keeps_its_acceleration(n_lines, acceleration, acs_lines, rng):
    """Exactly round(N / R) distinct lines, ACS included."""
    mask = variable_density_lines(n_lines, acceleration, acs_lines=acs_lines, rng=rng).lines()
    start = n_lines // 2 - acs_lines // 2
    assert mask.sum() == round(n_lines / acceleration)
    assert mask[start : start + acs_lines].all()


def test_variable_density_falls_from_the_centre(rng):
    """Lines near the centre are acquired more often than at the edge: several times, so chance plays no role."""
    draws = [variable_density_lines(64, 4, acs_lines=4, rng=rng).lines() for _ in range(200)]
    often = torch.stack(draws).float().mean(0)
    inner, middle, outer = often[24:30].mean(), often[12:18].mean(), often[:6].mean()
    assert inner > 1.5 * middle > 3 * outer > 0


@pytest.mark.parametrize(("shape", "acceleration", "acs"), [((64, 64), 4, (12, 12)), ((49, 64), 3, (9, 11))])
def test_poisson_disc_keeps_its_acceleration(shape, acceleration, acs, rng):
    """Within the 5 % that SigPy's search is asked for; the ACS block around N//2 is complete."""
    pytest.importorskip("sigpy")
    mask = poisson_disc(shape, acceleration, acs=acs, rng=rng).mask
    assert mask.shape == shape
    assert mask.numel() / mask.sum() == pytest.approx(acceleration, rel=0.05)
    rows, columns = (slice(n // 2 - a // 2, n // 2 - a // 2 + a) for n, a in zip(shape, acs, strict=True))
    assert mask[rows, columns].all()


def test_masks_follow_the_generator():
    """The same seed gives the same mask, the next draw another."""
    pytest.importorskip("sigpy")
    for draw in (
        lambda rng: variable_density_lines(64, 4, acs_lines=4, rng=rng).mask,
        lambda rng: poisson_disc((48, 48), 4, acs=(8, 8), rng=rng).mask,
    ):
        rng = seeded(3)
        first, second = draw(rng), draw(rng)
        assert torch.equal(first, draw(seeded(3)))
        assert not torch.equal(first, second)


def test_impossible_requests_are_refused(rng):
    """One sentence with the number asked for and the number there is."""
    with pytest.raises(ValueError, match=r"acceleration is 0\.5, at least 1"):
        variable_density_lines(64, 0.5, acs_lines=4, rng=rng)
    with pytest.raises(ValueError, match="offset 3, but 0 to 2"):
        equispaced_lines(12, 3, offset=3)
    with pytest.raises(ValueError, match="14 ACS lines, but k-space has 12"):
        equispaced_lines(12, 3, acs_lines=14)
    with pytest.raises(ValueError, match="24 ACS lines, but acceleration 4 of 64 lines leaves 16"):
        variable_density_lines(64, 4, acs_lines=24, rng=rng)
    with pytest.raises(ValueError, match="576 ACS samples, but acceleration 8 of 4096 samples leaves 512"):
        poisson_disc((64, 64), 8, rng=rng)
    with pytest.raises(ValueError, match="ACS of 24 x 24, but k-space has 24 x 64"):
        poisson_disc((24, 64), 1.5, rng=rng)


def test_poisson_disc_without_sigpy_says_what_to_install(rng, monkeypatch):
    """SigPy is optional; its absence must not look like a defect of the mask."""
    monkeypatch.setitem(sys.modules, "sigpy.mri", None)
    with pytest.raises(ImportError, match=r"pip install kband\[train\]"):
        poisson_disc((64, 64), 4, acs=(8, 8), rng=rng)
