"""Broken samples, lines and coils are found, and nothing else: not in a head, at any noise and acceleration."""

import pytest
import torch

from kband_core.coils import sample_energy
from kband_core.corruption import (
    broken_coils,
    interference,
    receiver_offset,
    silent_lines,
    strange_lines,
    wild_lines,
    wild_samples,
)
from kband_core.fourier import resize, to_image, to_kspace
from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils

SHAPE = (96, 80)


def head(rng, snr=40.0, fov=1.0, n_coils=6):
    clean = coil_kspace(head_phantom(), loop_coils(n_coils, object_phase=1.0), SHAPE, fov=(fov, 1.0), oversampling=1)
    return clean + complex_noise(torch.eye(n_coils) * (0.8 / snr) ** 2, SHAPE, rng)


def broken(lines, acs):
    return broken_coils(sample_energy(lines).mean(-1), sample_energy(acs).mean(-1))


def from_centre(n_lines, step=1):
    """Of each line, 1 at the ends."""
    return (torch.arange(0, n_lines, step) - n_lines // 2).abs() / (n_lines / 2)


def wild(lines, step=1):
    return wild_samples(sample_energy(lines), (torch.arange(0, 96, step) - 48).abs())


CLEAN = [(snr, fov, step) for snr in (1, 40, 1000) for fov, step in ((1, 1), (0.7, 1), (1, 4), (0.7, 4))]


@pytest.mark.parametrize(("snr", "fov", "step"), CLEAN)
def test_a_clean_scan_has_nothing_broken(rng, snr, fov, step):
    """With noise as strong as the brain, hardly any, a head that wraps, or every fourth line."""
    kspace = head(rng, snr, fov)
    lines = kspace[:, ::step]
    assert not wild(lines, step).any()
    assert not wild_lines(sample_energy(lines).mean(-1)).any()
    assert not silent_lines(sample_energy(lines).mean(-1)).any()
    assert not broken(lines, resize(kspace, [24], [-2])).any()
    assert not receiver_offset(lines, sample_energy(lines)).any()
    assert interference(kspace, from_centre(96)) == []


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("where", [(1, 10, 60), (3, 20, 30), (0, 31, 0)])
def test_a_spike_is_found_where_it_is(rng, step, where):
    """As high as the centre of k-space, in one coil."""
    lines = head(rng)[:, ::step]
    lines[where] = lines.abs().max()
    assert torch.nonzero(wild(lines, step)).tolist() == [list(where)]


@pytest.mark.parametrize("step", [1, 3])
def test_a_spike_between_two_samples_is_found(rng, step):
    """A filter of the readout has spread it over its line: half a sample off, a sixth of it lies four samples away."""
    lines = head(rng)[:, ::step]
    lines[2, 7] += 25 * torch.sinc(torch.arange(80) - 61.5)
    assert wild(lines, step)[2, 7].any()


@pytest.mark.parametrize("n_coils", [2, 6])
@pytest.mark.parametrize("period", [3, 5, 8])
def test_tags_are_no_spikes(rng, n_coils, period):
    """Stripes over the whole head: lines far from the centre as strong as those beside it, and as lonely."""
    stripes = 0.75 + 0.25 * torch.sign(torch.sin(torch.pi * (torch.arange(96) + 0.5) / period))
    kspace = to_kspace(to_image(head(rng, 1e6, n_coils=n_coils)) * stripes[:, None])
    kspace = kspace + complex_noise(torch.eye(n_coils) * (0.8 / 40) ** 2, SHAPE, rng)
    lines, acs = kspace[:, ::3], resize(kspace, [24], [-2])
    assert not strange_lines(lines, wild(lines, 3), acs).any()


@pytest.mark.parametrize("n_coils", [2, 6])
@pytest.mark.parametrize("coils", [slice(1, 2), slice(None)])
def test_a_spike_is_strange_to_coils(rng, n_coils, coils):
    """In one, or in all, each with a phase of its own."""
    kspace = head(rng, n_coils=n_coils)
    lines, acs = kspace[:, ::3].clone(), resize(kspace, [24], [-2])
    lines[coils, 10, 60] = lines.abs().max() * torch.exp(2j * torch.arange(n_coils)[coils] ** 2)
    assert torch.nonzero(strange_lines(lines, wild(lines, 3), acs)).flatten().tolist() == [10]


def test_the_end_of_a_partial_echo_is_no_spike(rng):
    """Samples that were never digitised are zero."""
    lines = head(rng)
    lines[..., :24] = 0
    assert not wild(lines).any()


def test_spikes_of_all_coils_are_found(rng):
    """An arc in the scanner room is heard by all."""
    lines = head(rng)
    lines[:, 20, 55] += 100
    assert torch.nonzero(wild(lines)[:, 20, 55]).numel() == len(lines)


def test_a_wild_line_is_found(rng):
    """A thousand times too strong: of its neighbours nothing is said."""
    lines = head(rng)
    lines[:, 53] *= 1e3
    assert torch.nonzero(wild_lines(sample_energy(lines).mean(-1))).flatten().tolist() == [53]


def test_a_line_of_zeros_was_not_received(rng):
    """Its counter came, its samples did not."""
    lines = head(rng)
    lines[:, 76] = 0
    assert torch.nonzero(silent_lines(sample_energy(lines).mean(-1))).flatten().tolist() == [76]


@pytest.mark.parametrize("factor", [0, 1e-3, 30, 1e6])
def test_a_coil_that_changes_after_calibration_is_found(rng, factor):
    """Its cable came loose, or its gain jumped; half of the others see a brighter image than calibration, too."""
    kspace = head(rng)
    acs, lines = resize(kspace, [24], [-2]), 3 * kspace[:, ::3]
    lines[2] *= factor
    assert torch.nonzero(broken(lines, acs)).flatten().tolist() == [2]


def test_a_spike_breaks_no_coil(rng):
    """Its line is broken, and no other."""
    kspace = head(rng)
    lines = kspace[:, ::3].clone()
    lines[1, 5, 20] = 1e4
    assert not broken(lines, resize(kspace, [24], [-2])).any()


def test_a_coil_that_is_always_silent_is_found(rng):
    """It neither calibrates nor receives."""
    kspace = head(rng)
    kspace[4] = 0
    assert torch.nonzero(broken(kspace, resize(kspace, [24], [-2]))).flatten().tolist() == [4]


def test_an_offset_of_receivers_is_measured(rng):
    """A constant in each coil, as large as a hundredth of the centre of k-space."""
    kspace, offset = head(rng), torch.tensor([1, 0.5, 1j, -1, 0.3, 0.8], dtype=torch.complex64)
    for step in (1, 3):
        lines = (kspace + offset[:, None, None])[:, ::step]
        found = receiver_offset(lines, sample_energy(lines))
        assert float((found - offset).abs().max()) < 0.02


@pytest.mark.parametrize("column", [5, 40, 61])
def test_a_radio_wave_is_found_in_its_column(rng, column):
    """Of one frequency, and another phase in each line, as the source knows nothing of the sequence."""
    kspace = head(rng)
    phase = torch.rand(96, 1, generator=rng) + (column - 40) * torch.arange(80) / 80
    kspace = kspace + 0.5 * torch.exp(-2j * torch.pi * phase)
    assert interference(kspace, from_centre(96)) == [column]


@pytest.mark.parametrize("n_lines", [1, 2, 3])
def test_a_few_lines_are_not_broken(rng, n_lines):
    """A scan that was cut off has no neighbours to compare with."""
    lines = resize(head(rng), [n_lines], [-2])
    assert not wild_samples(sample_energy(lines), (torch.arange(n_lines) - n_lines // 2).abs()).any()
    assert not wild_lines(sample_energy(lines).mean(-1)).any()
    assert not silent_lines(sample_energy(lines).mean(-1)).any()
    assert not receiver_offset(lines, sample_energy(lines)).any()
    assert interference(lines, from_centre(96)[48 - n_lines // 2 :][:n_lines]) == []


def test_of_a_few_columns_none_is_told():
    """There are not as many beside it as one is compared with."""
    assert interference(torch.ones(4, 6, 6, dtype=torch.complex64), from_centre(6)) == []
