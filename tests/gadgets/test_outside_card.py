"""Scans unlike all that a network has seen are left to SENSE, and say why."""

import pytest

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.errors import ScanError
from gadgets.items import ReconBuffer
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.kband_recon import KBandRecon
from gadgets.recon.network import Network
from kband_core.models import load_card
from tests.gadgets.heads import N, reconstruct, root_sum_of_squares
from tests.tiny_models import LIMITS, save_tiny_model


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of models that holds "tiny", which has seen what the model that ships has seen."""
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    limits = {**LIMITS, "spacing": 5, "coils": [4, 12], "snr": 12.5, "unmapped": 0.01}
    save_tiny_model(tmp_path, limits=limits)


@pytest.fixture
def comment_of(head_scan):
    """The comment of the image of R-fold lines."""

    def of(lines, acceleration: int = 2) -> str:
        chain = AcquisitionBuffer(), CoilSensitivities(), KBandRecon(model="tiny")
        (array,) = reconstruct(head_scan(acceleration=acceleration), lines, *chain)
        return array.meta[0, 0, 0]["ImageComments"]

    return of


@pytest.mark.parametrize("spacing", [6, 8])
def test_every_sixth_line_is_not_every_fifth(comment_of, lines_of, spacing):
    """With 20 calibration lines all lines over acquired ones are still 2 to 3: what lies between must be asked."""
    outside = f"FALLBACK SENSE: KBandRecon: lines {spacing} apart outside the centre, tiny has seen 5 at most"
    assert comment_of(lines_of(spacing), spacing) == outside
    assert comment_of(lines_of(5), 5) == "k-band tiny"


@pytest.mark.parametrize("n_coils", [1, 2, 3])
def test_few_coils_are_left_to_sense(comment_of, lines_of, head, n_coils):
    """What they cannot tell the network would guess."""
    outside = f"FALLBACK SENSE: KBandRecon: coils: {n_coils}, tiny has seen 4 to 12"
    assert comment_of(lines_of(2, kspace=head[:n_coils])).startswith(outside)


@pytest.mark.parametrize("snr", [1, 2, 50])
def test_noise_louder_than_all_it_has_seen_is_left_to_sense(comment_of, lines_of, head, noise, snr):
    """SNR of the bright part of the head; 50 is clean."""
    brightness = root_sum_of_squares(head).flatten().quantile(0.95).item()
    loud = head + noise(*head.shape, sd=brightness / snr / 2**0.5).astype("complex64")
    expected = "k-band tiny" if snr == 50 else "FALLBACK SENSE: KBandRecon: SNR "
    assert comment_of(lines_of(2, kspace=loud)).startswith(expected)


def test_holes_in_the_maps_are_left_to_sense(head_scan, lines_of):
    """Where maps are zero the network sees nothing, and anatomy would be missing."""
    items = reconstruct(head_scan(acceleration=2), lines_of(2), AcquisitionBuffer(), CoilSensitivities())
    (buffer,) = (item for item in items if isinstance(item, ReconBuffer))
    network = Network(load_card("tiny"))
    network.require_known(buffer)
    buffer.csm[..., N // 2 - 8 : N // 2 + 8, N // 2 - 8 : N // 2 + 8] = 0
    with pytest.raises(ScanError, match=r"^\d+\.\d % of the calibration where coil maps are zero, tiny has seen 1 %"):
        network.require_known(buffer)
