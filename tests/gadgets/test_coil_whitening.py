"""Coils of unequal noise: whitened by what their calibration lines show."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gadgets.coils import coil_sensitivities, coil_whitening
from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.coils.coil_whitening import CoilWhitening
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.sense_recon import SenseRecon
from tests.gadgets.heads import N_COILS, reconstruct

GAINS = np.array([0.2, 3.0, 0.5, 2.0, 0.2, 1.0])[:, None, None]  # of the noise alone
SD = 0.02
CHAIN = AcquisitionBuffer, CoilWhitening, CoilSensitivities, SenseRecon


@pytest.fixture
def noisy(head, noise):
    """Maker of the k-space of the head with noise of unequal coils."""
    return lambda seed=0, gains=GAINS: head + SD * gains * noise(*head.shape, seed=seed)


def images_of(scan, lines, chain):
    (array,) = reconstruct(scan, lines, *[make() for make in chain])
    assert array.meta[0, 0, 0]["kband_fallback"] == "no"
    return array.data[0, 0, 0, 0, 0].abs()


def test_whitened_coils_have_less_noise(head_scan, lines_of, noisy):
    """Two scans of one head differ by their noise alone: half of it and more is gone, of the head nothing."""
    scan, chains = head_scan(acceleration=2), (CHAIN, (CHAIN[0], *CHAIN[2:]))
    levels, brightness = [], []
    for chain in chains:
        first, second = (images_of(scan, lines_of(2, kspace=noisy(seed)), chain) for seed in (1, 2))
        levels.append(float((first - second).std()))
        brightness.append(float(first.mean()))
    assert levels[0] < 0.5 * levels[1]
    assert brightness[0] == pytest.approx(brightness[1], rel=0.2)


def test_maps_are_still_estimated_once(head_scan, lines_of, noisy, monkeypatch):
    """At the last calibration line: the buffer's, whitened, are the same lines to the last bit."""
    calls, coil_maps = [], coil_sensitivities.coil_maps
    monkeypatch.setattr(coil_sensitivities, "coil_maps", lambda *a, **k: calls.append(1) or coil_maps(*a, **k))
    images_of(head_scan(acceleration=2), lines_of(2, kspace=noisy()), CHAIN)
    assert len(calls) == 1


def test_kspace_calibration_and_held_out_lines_are_whitened_alike(head_scan, lines_of, noisy):
    """One matrix for all: lines of the calibration stand in k-space, too."""
    scan, lines = head_scan(acceleration=2), lines_of(2, kspace=noisy())
    calibration, buffer = reconstruct(scan, lines, AcquisitionBuffer(), CoilWhitening())
    assert torch.equal(calibration.acs, buffer.acs[0])
    rows = torch.arange(buffer.acs.shape[-2]) + buffer.acs_row
    acquired = buffer.sampling.lines()[rows]
    torch.testing.assert_close(buffer.kspace[0, 0, 0, :, 0, rows][:, acquired], buffer.acs[0, 0][:, acquired])
    _, raw = reconstruct(scan, lines_of(2, kspace=noisy()), AcquisitionBuffer())
    held_out = raw.kspace, raw.sampling.mask[..., 0].float()
    whitened = next(CoilWhitening().process([replace(raw, held_out=held_out)]))
    assert torch.equal(whitened.held_out[0], whitened.kspace)
    assert not torch.equal(whitened.kspace, raw.kspace)


def test_white_coils_are_only_scaled(head_scan, lines_of, noisy):
    """A noise scan knows better how they are mixed; what undoes the scale travels along."""
    kspace = noisy(gains=np.ones((N_COILS, 1, 1)))
    items = reconstruct(head_scan(acceleration=2), lines_of(2, kspace=kspace), AcquisitionBuffer())
    calibration, buffer = CoilWhitening().process(items)
    scale = buffer.unmixing[0, 0, 0]
    assert torch.allclose(buffer.unmixing[0], scale * torch.eye(N_COILS))
    torch.testing.assert_close(buffer.kspace * scale, items[1].kspace)
    torch.testing.assert_close(calibration.acs * scale, items[0].acs)
    assert float(scale.abs()) == pytest.approx(2**0.5 * SD, rel=0.2)


def test_what_goes_wrong_is_said(head_scan, lines_of, noisy, monkeypatch):
    """The scan is reconstructed all the same, from coils as they are."""
    def fail(acs):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(coil_whitening, "calibration_whitening", fail)
    items = reconstruct(head_scan(acceleration=2), lines_of(2, kspace=noisy()), AcquisitionBuffer())
    calibration, buffer = CoilWhitening().process(items)
    assert calibration is items[0]
    assert torch.equal(buffer.kspace, items[1].kspace)
    assert buffer.problems == ("CoilWhitening: out of memory",)


def test_a_scan_without_calibration_passes(head_scan, lines_of, noisy):
    """There is nothing to tell noise from; the next gadget says what is missing."""
    *_, buffer = reconstruct(head_scan(acceleration=2), lines_of(2, kspace=noisy()), AcquisitionBuffer())
    bare = replace(buffer, acs=None)
    assert next(CoilWhitening().process([bare])) is bare


@pytest.mark.parametrize(("factor", "said"), [(3, False), (30, True)])
def test_a_coil_far_noisier_than_others_is_told(head_scan, lines_of, head, noise, factor, said):
    """As after a noise scan of other gains: its signal has grown as much, and shades the image."""
    gains = np.ones((N_COILS, 1, 1))
    gains[2] = factor
    lines = lines_of(2, kspace=gains * (head + SD * noise(*head.shape)))
    _, buffer = reconstruct(head_scan(acceleration=2), lines, AcquisitionBuffer(), CoilWhitening())
    assert any("noise of coil 2 is" in problem for problem in buffer.problems) == said
