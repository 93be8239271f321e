"""Networks that are told of a part of the noise: what they hear, and what the image says."""

import pytest
import torch
from torch import nn

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.errors import PipelineError
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.kband_recon import KBandRecon
from kband_core.models import load_model, save_model
from kband_core.networks import build
from tests.gadgets.heads import reconstruct, root_sum_of_squares
from tests.tiny_models import CONFIG, FIELDS, LIMITS, save_tiny_head


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of models that holds "tiny", which takes for noise what it is told of."""
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build("modl", **CONFIG)
        nn.init.normal_(module.denoisers[0].tail.weight, std=0.03)
    save_model(tmp_path, {**FIELDS, "name": "tiny"}, module)
    return tmp_path


@pytest.fixture
def image_of(head_scan, lines_of, head, noise):
    """Pixels and meta of a noisy twofold scan by `KBandRecon` of some properties."""
    loud = head + noise(*head.shape, sd=0.01 * float(root_sum_of_squares(head).max())).astype("complex64")

    def make(**properties):
        chain = AcquisitionBuffer(), CoilSensitivities(), KBandRecon(model="tiny", **properties)
        (array,) = reconstruct(head_scan(acceleration=2), lines_of(2, kspace=loud), *chain)
        return array.data, array.meta[0, 0, 0]

    return make


def test_a_network_hears_of_a_part_of_the_noise(image_of, monkeypatch):
    """Half of what it hears otherwise, and the image says so, in meta and comment."""
    heard, hear = [], type(load_model("tiny")).forward
    monkeypatch.setattr(
        type(load_model("tiny")), "forward", lambda self, *given: heard.append(given[2]) or hear(self, *given)
    )
    pixels, meta = image_of()
    all_of_it = heard[-1]
    others, told = image_of(denoising=0.5)
    torch.testing.assert_close(heard[-1], all_of_it / 2)
    assert not torch.equal(others, pixels)
    assert (told["kband_denoising"], told["ImageComments"]) == ("0.5", "k-band tiny; denoising 0.5")
    assert "kband_denoising" not in meta
    assert meta["ImageComments"] == "k-band tiny"


def test_a_fallback_was_told_of_no_noise(image_of, folder):
    """What SENSE makes in place of the network does not claim that a part of the noise was left."""
    save_model(folder, {**FIELDS, "name": "tiny", "limits": {**LIMITS, "acs_lines": 30}}, load_model("tiny"))
    _, meta = image_of(denoising=0.5)
    assert meta["ImageComments"].startswith("FALLBACK")
    assert "denoising" not in str(meta)


def test_a_deaf_network_is_refused(image_of, folder):
    """It would make the same image under another label."""
    config = {"order": "ki", "layers": 2, "channels": 2}
    fields = {**FIELDS, "name": "tiny", "network": {"name": "kiki", "config": config}}
    save_model(folder, fields, build("kiki", **config))
    with pytest.raises(PipelineError, match=r"^KBandRecon\.denoising: model 'tiny' makes the same image whatever"):
        image_of(denoising=0.5)


@pytest.mark.parametrize(("name", "value"), [("uncertainty", True), ("adapt_seconds", 5)])
def test_what_holds_for_all_of_the_noise_is_refused(image_of, folder, name, value):
    """A bound that was calibrated with it, and learning that was told of it."""
    save_tiny_head(folder)
    with pytest.raises(PipelineError, match=rf"^KBandRecon\.denoising: {name} holds for all of the noise"):
        image_of(denoising=0.5, **{name: value})
