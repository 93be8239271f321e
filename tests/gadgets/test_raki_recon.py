"""RAKI in the chain: fitted ahead, marked when it hands over, its noise map beside the image."""

import ismrmrd
import numpy as np
import pytest
import torch

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.errors import ScanError
from gadgets.images.quantitative import OFFSET
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.grappa_recon import GrappaRecon
from gadgets.recon.raki_recon import RakiRecon
from gadgets.stock import ComplexToFloat, FloatToUShort, ImageArraySplit
from kband_core.raki import fit
from tests.gadgets.heads import N, reconstruct, root_sum_of_squares
from tests.laws import nmse


def images_of(head_scan, lines, acceleration=2, **properties):
    chain = AcquisitionBuffer(), CoilSensitivities(), RakiRecon(**properties)
    return reconstruct(head_scan(acceleration=acceleration), lines, *chain)


@pytest.mark.parametrize("schedule", ["fast", "random_features"])
def test_undersampled_head_is_restored(head_scan, lines_of, head, schedule):
    """R=2 without noise: what remains is far below the zero-filled image's error."""
    (array,) = images_of(head_scan, lines_of(2), schedule=schedule)
    assert array.meta[0, 0, 0]["kband_method"] == "RAKI"
    reference = root_sum_of_squares(head)
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), reference) < 0.005
    undersampled = head * (np.arange(N) % 2 == 0)[:, None]
    assert nmse(root_sum_of_squares(undersampled), reference) > 0.05


def test_same_seed_same_image(head_scan, lines_of):
    """A scan that is replayed shows what the patient was shown."""
    first, second, other = (
        images_of(head_scan, lines_of(2), schedule="random_features", seed=seed)[0].data for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_further_slices_take_the_hidden_layers_of_the_one_before(head_scan, lines_of, head, monkeypatch):
    """They describe coils, not the slice: with the coils in another order the image is as good, without training."""
    trainings = []
    train = fit.train
    monkeypatch.setattr(fit, "train", lambda *args, **kwargs: trainings.append(1) or train(*args, **kwargs))
    other = head[::-1].copy()
    lines = [*lines_of(2), *lines_of(2, kspace=other, slice=1)]
    chain = AcquisitionBuffer(), CoilSensitivities(), RakiRecon()
    arrays = reconstruct(head_scan(acceleration=2, slice=2), lines, *chain)
    assert len(trainings) == 1
    for array in arrays:
        assert array.meta[0, 0, 0]["kband_method"] == "RAKI"
        assert nmse(array.data[0, 0, 0, 0, 0].abs(), root_sum_of_squares(head)) < 0.005


def test_training_over_its_budget_still_makes_the_image(head_scan, lines_of, head):
    """The image is RAKI's, by what it has learnt by then, no fallback, and says how much that is."""
    (array,) = images_of(head_scan, lines_of(2), time_budget=1e-6)
    meta = array.meta[0, 0, 0]
    assert (meta["kband_method"], meta["kband_fallback"]) == ("RAKI", "no")
    assert meta["kband_raki_steps"] == "1 of 60"
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), root_sum_of_squares(head)) < 0.005


def test_fit_over_its_budget_hands_over_to_grappa(head_scan, lines_of, head):
    """The radiographer gets a GRAPPA image, in time, and the image says so."""
    (array,) = images_of(head_scan, lines_of(2), schedule="paper", time_budget=1e-6)
    meta = array.meta[0, 0, 0]
    assert meta["kband_method"] == "GRAPPA"
    assert meta["ImageComments"].startswith("FALLBACK GRAPPA: RakiRecon: ")
    assert array.headers[0, 0, 0].image_series_index == 101
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), root_sum_of_squares(head)) < 0.005


def test_the_fallback_has_properties_of_its_own(head_scan, lines_of):
    """A kernel of 4 × 3 is that of GrappaRecon, whoever asks for it."""
    over = {"schedule": "paper", "time_budget": 1e-6}
    (array,) = images_of(head_scan, lines_of(2), **over, grappa_kernel_lines=4, grappa_kernel_samples=3)
    chain = AcquisitionBuffer(), CoilSensitivities(), GrappaRecon(kernel_lines=4, kernel_samples=3)
    (grappa,) = reconstruct(head_scan(acceleration=2), lines_of(2), *chain)
    assert torch.equal(array.data, grappa.data)


def test_hidden_layers_of_another_encoding_are_not_taken(head_scan, lines_of, monkeypatch):
    """They describe coils as one field of view shows them: each encoding trains once."""
    trainings = []
    train = fit.train
    monkeypatch.setattr(fit, "train", lambda *args, **kwargs: trainings.append(1) or train(*args, **kwargs))
    lines = [*lines_of(2), *lines_of(2, header={"encoding_space_ref": 1})]
    chain = AcquisitionBuffer(), CoilSensitivities(), RakiRecon()
    arrays = reconstruct(head_scan(acceleration=2, n_encodings=2), lines, *chain)
    assert len(trainings) == 2
    assert [array.headers[0, 0, 0].image_series_index for array in arrays] == [1, 2]


def test_fully_sampled_scan_is_only_combined(head_scan, lines_of, head):
    """R=1: no network made the image, so it does not say RAKI; g would be 1 and is not sent; the SNR is."""
    array, snr = images_of(head_scan, lines_of(1), acceleration=1, gfactor=True, snr=True)
    assert array.meta[0, 0, 0]["kband_method"] == "coil combination"
    assert array.meta[0, 0, 0]["kband_fallback"] == "no"
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), root_sum_of_squares(head)) < 0.002
    assert snr.meta[0, 0, 0]["kband_quantity"] == "SNR"
    torch.testing.assert_close(snr.data.real, 10 * array.data.abs())


def test_maps_are_series_of_their_own(head_scan, lines_of):
    """After the stock gadgets a pixel times RescaleSlope plus RescaleIntercept is the quantity (to half a step)."""
    arrays = images_of(head_scan, lines_of(2), schedule="random_features", gfactor=True, snr=True)
    image, gfactor, snr = arrays
    assert [a.headers[0, 0, 0].image_series_index for a in arrays] == [1, 11, 21]
    meta = gfactor.meta[0, 0, 0]
    assert (meta["DataRole"], meta["GADGETRON_DataRole"]) == ("Quantitative", "Quantitative")
    assert meta["kband_quantity"] == "g-factor"
    assert gfactor.headers[0, 0, 0].image_type == ismrmrd.IMTYPE_REAL
    stream = arrays
    for gadget in (ImageArraySplit(), ComplexToFloat(), FloatToUShort()):
        stream = gadget.process(stream)
    pixels = [sent.data[0, 0].astype(float) for sent in stream][1]
    g = pixels * float(meta["RescaleSlope"]) + float(meta["RescaleIntercept"])
    np.testing.assert_allclose(g, gfactor.data[0, 0, 0, 0, 0].real.numpy() / 100, atol=0.00501)
    assert float(meta["RescaleIntercept"]) == -OFFSET / 100
    head_pixels = gfactor.data[0, 0, 0, 0, 0].real[N // 4 : -N // 4, N // 4 : -N // 4] / 100
    assert 0.6 < head_pixels.mean() < 3  # calibration lines in the image lower it below 1 where coils are many
    signal = image.data[0, 0, 0, 0, 0].abs()
    inside = gfactor.data[0, 0, 0, 0, 0].real > 0
    expected = signal / (gfactor.data[0, 0, 0, 0, 0].real / 100 * 2**0.5)
    torch.testing.assert_close(snr.data[0, 0, 0, 0, 0].real[inside] / 10, expected[inside], rtol=1e-3, atol=1e-3)


def test_map_that_cannot_be_made_ends_the_scan_with_a_sentence(head_scan, lines_of):
    """A zero-filled fallback has no g-factor: the image comes, and nobody must think the map did."""
    gadget = RakiRecon(gfactor=True)
    stream = lines_of(2, acs=())
    scan = head_scan(acceleration=2)
    received = []
    for step in (AcquisitionBuffer(), CoilSensitivities(), gadget):
        step.open(scan)
        stream = step.process(stream)
    with pytest.raises(ScanError, match="1 g-factor map could not be made: the image is zero-filled"):
        received.extend(stream)
    assert [array.meta[0, 0, 0]["kband_method"] for array in received] == ["zero-filled"]


@pytest.mark.parametrize("lines", [3, 2])
def test_too_few_calibration_lines_are_said(head_scan, lines_of, lines):
    """R=3 needs four lines for one window; the sentence has both numbers."""
    (array,) = images_of(head_scan, lines_of(3, acs=range(33, 33 + lines)), acceleration=3)
    assert array.meta[0, 0, 0]["kband_method"] == "zero-filled"
    assert "calibration lines" in array.meta[0, 0, 0]["kband_fallback"]
