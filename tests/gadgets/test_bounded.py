"""Images that say how far they may be from the truth: only what a network made, and only if told to."""

import pytest
import torch

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.errors import PipelineError, ScanError
from gadgets.images.quantitative import OFFSET
from gadgets.mrd import ismrmrd
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.kband_recon import KBandRecon
from tests.gadgets.heads import N, reconstruct
from tests.tiny_models import LIMITS, save_tiny_head, save_tiny_model


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of models that holds "tiny", an untrained one with an untrained head."""
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    save_tiny_model(tmp_path)
    save_tiny_head(tmp_path)
    return tmp_path


def arrays_of(head_scan, lines, acceleration=2, **properties):
    recon = KBandRecon(model="tiny", **properties)
    return reconstruct(head_scan(acceleration=acceleration), lines, AcquisitionBuffer(), CoilSensitivities(), recon)


def test_no_pixel_changes_for_it(head_scan, lines_of):
    """A head judges; and who did not ask for it gets what he got before."""
    (before,) = arrays_of(head_scan, lines_of(2))
    image, _ = arrays_of(head_scan, lines_of(2), uncertainty=True)
    assert torch.equal(before.data, image.data)
    assert "kband_nmse_bound" not in before.meta[0, 0, 0]
    assert before.meta[0, 0, 0]["ImageComments"] == "k-band tiny"


def test_the_bound_is_that_of_the_card_times_what_the_map_tells(folder, head_scan, lines_of):
    """Three times Σσ² / Σ|x|², in meta and comment, with the share of scans that keep it."""
    image, sigma = arrays_of(head_scan, lines_of(2), uncertainty=True)
    meta, pixels = image.meta[0, 0, 0], image.data[0, 0, 0, 0, 0].abs()
    percent = sigma.data[0, 0, 0, 0, 0].real * float(sigma.meta[0, 0, 0]["RescaleSlope"])
    error = percent / 100 * torch.quantile(pixels, 0.95)
    expected = 3 * float(error.square().sum() / pixels.square().sum())
    assert float(meta["kband_nmse_bound"]) == pytest.approx(expected, rel=0.05)
    assert meta["kband_nmse_bound_level"] == "0.9"
    assert meta["ImageComments"] == f"k-band tiny; NMSE ≤ {meta['kband_nmse_bound']} with 90 % on simulated scans"


def test_the_map_is_a_series_of_its_own(head_scan, lines_of):
    """Real pixels with a scale and a unit; untrained it says 2 % of the image's scale wherever there are maps."""
    image, sigma = arrays_of(head_scan, lines_of(2), uncertainty=True)
    header, meta = sigma.headers[0, 0, 0], sigma.meta[0, 0, 0]
    assert (header.image_series_index, header.image_type) == (91, ismrmrd.IMTYPE_REAL)
    assert (meta["DataRole"], meta["kband_quantity"], meta["RescaleType"]) == ("Quantitative", "expected error", "%")
    assert float(meta["RescaleIntercept"]) == -OFFSET * float(meta["RescaleSlope"])
    percent = sigma.data[0, 0, 0, 0, 0].real * float(meta["RescaleSlope"])
    assert bool((image.data[0, 0, 0, 0, 0].abs()[percent > 0] > 0).all())
    assert 1 < float(percent[N // 4 : -N // 4, N // 4 : -N // 4].median()) < 4


def test_an_image_of_another_method_has_no_bound(folder, head_scan, lines_of):
    """The bound is the network's; a fallback has none, and the map that was asked for is missed aloud."""
    save_tiny_model(folder, limits={**LIMITS, "acceleration": [3, 6]})
    save_tiny_head(folder)
    stream, seen = iter(lines_of(2)), []
    for gadget in (AcquisitionBuffer(), CoilSensitivities(), KBandRecon(model="tiny", uncertainty=True)):
        gadget.open(head_scan(acceleration=2))
        stream = gadget.process(stream)
    with pytest.raises(ScanError, match="1 expected error map could not be made: the image is SENSE"):
        seen.extend(stream)
    (image,) = seen
    assert "kband_nmse_bound" not in image.meta[0, 0, 0]
    assert "NMSE" not in image.meta[0, 0, 0]["ImageComments"]


def test_an_image_that_grappa_has_completed_has_no_bound(folder, head_scan, lines_of, head, noise):
    """Maps of eight lines miss a part of the head, which GRAPPA's coils show: it is no longer the network's alone."""
    save_tiny_model(folder, limits={**LIMITS, "acs_lines": 6})
    save_tiny_head(folder)
    seen = []
    lines = lines_of(2, acs=range(28, 36), kspace=head + 0.003 * noise(*head.shape))
    stream = iter(lines)
    for gadget in (AcquisitionBuffer(), CoilSensitivities(), KBandRecon(model="tiny", uncertainty=True)):
        gadget.open(head_scan(acceleration=2))
        stream = gadget.process(stream)
    with pytest.raises(ScanError, match="1 expected error map could not be made"):
        seen.extend(stream)
    (image,) = seen
    assert "of the measured energy, completed by GRAPPA" in image.meta[0, 0, 0]["ImageComments"]
    assert image.meta[0, 0, 0]["kband_fallback"] == "no"
    assert "kband_nmse_bound" not in image.meta[0, 0, 0]


def test_an_image_that_lacks_nothing_needs_no_bound(head_scan, lines_of):
    """All lines came: it is the truth that the bound speaks of."""
    (image,) = arrays_of(head_scan, lines_of(1), acceleration=1, uncertainty=True)
    assert "kband_nmse_bound" not in image.meta[0, 0, 0]


def test_a_model_without_a_head_is_refused_before_the_scan(folder, head_scan, lines_of):
    """One sentence, with the command that trains one."""
    save_tiny_model(folder)
    with pytest.raises(PipelineError, match=r"^KBandRecon\.uncertainty: model 'tiny': its card has no"):
        arrays_of(head_scan, lines_of(2), uncertainty=True)


def test_a_damaged_head_is_refused_before_the_scan(folder, head_scan, lines_of):
    """Another's weights would say another's errors."""
    path = folder / "tiny.uncertainty.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(PipelineError, match=r"tiny\.uncertainty\.safetensors is damaged or another's"):
        arrays_of(head_scan, lines_of(2), uncertainty=True)
