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
from kband_core.looked_lines import LookedLines
from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils

SHAPE = (96, 80)


def head(rng, snr=40.0, fov=1.0, n_coils=6):
    clean = coil_kspace(head_phantom(), loop_coils(n_coils, object_phase=1.0), SHAPE, fov=(fov, 1.0), oversampling=1)
    return clean + complex_noise(torch.eye(n_coils) * (0.8 / snr) ** 2, SHAPE, rng)


def broken(lines, acs):
    return broken_coils(sample_energy(lines).mean(-1), sample_energy(acs).mean(-1))


def looked(kspace, step=1):
    """Every so many lines."""
    return LookedLines.of(kspace, torch.arange(0, kspace.shape[-2], step))


def wild(kspace, step=1):
    return wild_samples(looked(kspace, step))


def spoiled(kspace, step):
    """K-space, and those of its lines that were acquired, in the same memory."""
    kspace = kspace.clone()
    return kspace, kspace[:, ::step]


CLEAN = [(snr, fov, step) for snr in (1, 40, 1000) for fov, step in ((1, 1), (0.7, 1), (1, 4), (0.7, 4))]


@pytest.mark.parametrize(("snr", "fov", "step"), CLEAN)
def test_a_clean_scan_has_nothing_broken(rng, snr, fov, step):
    """With noise as strong as the brain, hardly any, a head that wraps, or every fourth line."""
    kspace = head(rng, snr, fov)
    lines = kspace[:, ::step]
    assert len(wild(kspace, step)) == 0
    assert not wild_lines(sample_energy(lines).mean(-1)).any()
    assert not silent_lines(sample_energy(lines).mean(-1)).any()
    assert not broken(lines, resize(kspace, [24], [-2])).any()
    assert not receiver_offset(looked(kspace, step)).any()
    assert interference(looked(kspace)) == []


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("where", [(1, 10, 60), (3, 20, 30), (0, 31, 0)])
def test_a_spike_is_found_where_it_is(rng, step, where):
    """As high as the centre of k-space, in one coil."""
    kspace, lines = spoiled(head(rng), step)
    lines[where] = lines.abs().max()
    assert wild(kspace, step).tolist() == [list(where)]


@pytest.mark.parametrize("step", [1, 3])
def test_a_spike_between_two_samples_is_found(rng, step):
    """A filter of the readout has spread it over its line: half a sample off, a sixth of it lies four samples away."""
    kspace, lines = spoiled(head(rng), step)
    lines[2, 7] += 25 * torch.sinc(torch.arange(80) - 61.5)
    assert [2, 7] in wild(kspace, step)[:, :2].tolist()


@pytest.mark.parametrize("n_coils", [2, 6])
@pytest.mark.parametrize("period", [3, 5, 8])
def test_tags_are_no_spikes(rng, n_coils, period):
    """Stripes over the whole head: lines far from the centre as strong as those beside it, and as lonely."""
    stripes = 0.75 + 0.25 * torch.sign(torch.sin(torch.pi * (torch.arange(96) + 0.5) / period))
    kspace = to_kspace(to_image(head(rng, 1e6, n_coils=n_coils)) * stripes[:, None])
    kspace = kspace + complex_noise(torch.eye(n_coils) * (0.8 / 40) ** 2, SHAPE, rng)
    assert not strange_lines(looked(kspace, 3), wild(kspace, 3), resize(kspace, [24], [-2])).any()


@pytest.mark.parametrize("n_coils", [2, 6])
@pytest.mark.parametrize("coils", [slice(1, 2), slice(None)])
def test_a_spike_is_strange_to_coils(rng, n_coils, coils):
    """In one, or in all, each with a phase of its own."""
    clean = head(rng, n_coils=n_coils)
    (kspace, lines), acs = spoiled(clean, 3), resize(clean, [24], [-2])
    lines[coils, 10, 60] = lines.abs().max() * torch.exp(2j * torch.arange(n_coils)[coils] ** 2)
    assert torch.nonzero(strange_lines(looked(kspace, 3), wild(kspace, 3), acs)).flatten().tolist() == [10]


def test_the_end_of_a_partial_echo_is_no_spike(rng):
    """Samples that were never digitised are zero."""
    lines = head(rng)
    lines[..., :24] = 0
    assert len(wild(lines)) == 0


def test_spikes_of_all_coils_are_found(rng):
    """An arc in the scanner room is heard by all."""
    lines = head(rng)
    lines[:, 20, 55] += 100
    assert wild(lines).tolist() == [[coil, 20, 55] for coil in range(len(lines))]


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
        found = receiver_offset(looked(kspace + offset[:, None, None], step))
        assert float((found - offset).abs().max()) < 0.02


@pytest.mark.parametrize("column", [5, 40, 61])
def test_a_radio_wave_is_found_in_its_column(rng, column):
    """Of one frequency, and another phase in each line, as the source knows nothing of the sequence."""
    kspace = head(rng)
    phase = torch.rand(96, 1, generator=rng) + (column - 40) * torch.arange(80) / 80
    kspace = kspace + 0.5 * torch.exp(-2j * torch.pi * phase)
    assert interference(looked(kspace)) == [column]


@pytest.mark.parametrize("n_lines", [1, 2, 3])
def test_a_few_lines_are_not_broken(rng, n_lines):
    """A scan that was cut off has no neighbours to compare with."""
    kspace, rows = head(rng), torch.arange(48 - n_lines // 2, 48 - n_lines // 2 + n_lines)
    few, lines = LookedLines.of(kspace, rows), kspace[:, rows]
    assert len(wild_samples(few)) == 0
    assert not wild_lines(sample_energy(lines).mean(-1)).any()
    assert not silent_lines(sample_energy(lines).mean(-1)).any()
    assert not receiver_offset(few).any()
    assert interference(few) == []


def test_of_a_few_columns_none_is_told():
    """There are not as many beside it as one is compared with."""
    assert interference(looked(torch.ones(4, 6, 6, dtype=torch.complex64))) == []
