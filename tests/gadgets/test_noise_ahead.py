"""The noise of an image, told by calibration lines that are its centre."""

from dataclasses import replace

import pytest
import torch

from gadgets.items import Calibration, ReconBuffer
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.noise_ahead import NoiseAhead
from kband_core.noise import noise_level
from tests.gadgets.heads import reconstruct


@pytest.fixture
def told(monkeypatch):
    """How many times noise is told from lines."""
    calls = []
    monkeypatch.setattr(
        "gadgets.recon.noise_ahead.noise_level", lambda *lines: calls.append(lines) or noise_level(*lines)
    )
    return calls


def items_of(head_scan, lines):
    items = reconstruct(head_scan(acceleration=2), lines, AcquisitionBuffer())
    (calibration,) = (item for item in items if isinstance(item, Calibration))
    (buffer,) = (item for item in items if isinstance(item, ReconBuffer))
    return calibration, buffer


def test_calibration_lines_tell_what_the_image_would(head_scan, lines_of, told):
    """To the last digit, and only once."""
    calibration, buffer = items_of(head_scan, lines_of(2, acs=range(18, 46)))
    ahead = NoiseAhead()
    ahead.prepare(calibration)
    kspace, sampling = buffer.planes()
    assert torch.equal(ahead.of(buffer), noise_level(kspace, sampling.mask))
    assert len(told) == 1


@pytest.mark.parametrize("change", ["another line", "fewer than the centre", "none"])
def test_other_lines_tell_for_themselves(change, head_scan, lines_of, told):
    """An image whose centre is not what calibrated, or more than that; these are not asked ahead."""
    acs = range(22, 42) if change == "fewer than the centre" else range(18, 46)
    calibration, buffer = items_of(head_scan, lines_of(2, acs=acs))
    if change == "another line":
        buffer.kspace[..., 32, :] += 1
    elif change == "none":
        buffer = replace(buffer, acs=None, acs_row=None)
    ahead = NoiseAhead()
    ahead.prepare(calibration)
    kspace, sampling = buffer.planes()
    assert torch.equal(ahead.of(buffer), noise_level(kspace, sampling.mask))
    assert len(told) == (1 if change == "fewer than the centre" else 2)
