"""A network that learns from each image first: what it learnt is said, what it did not learn changes nothing."""

from functools import partial

import pytest
import torch
from torch import nn

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.errors import PipelineError
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon import adapted
from gadgets.recon.kband_recon import KBandRecon
from kband_core.adaptation import learner
from kband_core.adaptation.adapting import adapt
from kband_core.models import save_model
from kband_core.networks import build
from tests.gadgets.heads import reconstruct
from tests.tiny_models import CONFIG, FIELDS, LIMITS, save_tiny_head, save_tiny_model

AS_IT_CAME = "network as it came"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of models that holds "tiny", which adds a little structure of its own; ten steps suffice to unlearn it.
    """
    monkeypatch.setattr(adapted, "adapt", partial(adapt, steps=10))
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    save_network(tmp_path)
    return tmp_path


def save_network(folder, *, std=0.03, **config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build("modl", **{**CONFIG, **config})
        nn.init.normal_(module.denoisers[0].tail.weight, std=std)
    save_model(folder, {**FIELDS, "name": "tiny", "network": {"name": "modl", "config": {**CONFIG, **config}}}, module)


def image_of(head_scan, lines, acceleration=2, **properties):
    recon = KBandRecon(model="tiny", **properties)
    scan = head_scan(acceleration=acceleration)
    (array,) = reconstruct(scan, lines, AcquisitionBuffer(), CoilSensitivities(), recon)
    return array.data, array.meta[0, 0, 0]


def test_an_image_says_what_was_learnt_for_it(head_scan, lines_of, monkeypatch):
    """Steps and what held-out lines gained, in meta and comment, beside the model that it came from."""
    monkeypatch.setattr(learner, "RATE", 0.01)
    before, _ = image_of(head_scan, lines_of(2))
    data, meta = image_of(head_scan, lines_of(2), adapt_seconds=50)
    assert not torch.equal(data, before)
    steps, _, gain = meta["kband_adapted"].partition(" steps, held-out error ")
    assert int(steps) % 5 == 0
    assert float(gain.removesuffix(" % less")) >= 1
    assert meta["ImageComments"] == f"k-band tiny; adapted to its own lines: {meta['kband_adapted']}"
    assert (meta["kband_model"], meta["kband_fallback"]) == ("tiny", "no")


def test_no_gain_no_change(head_scan, lines_of, monkeypatch):
    """The first image stands, and says so; the comment is that of any image."""
    monkeypatch.setattr(learner, "RATE", 0.0)
    before, _ = image_of(head_scan, lines_of(2))
    data, meta = image_of(head_scan, lines_of(2), adapt_seconds=50)
    assert torch.equal(data, before)
    assert meta["kband_adapted"] == f"no gain in 10 steps: {AS_IT_CAME}"
    assert meta["ImageComments"] == "k-band tiny"


def test_too_few_lines_leave_the_network_as_it_came(folder, head_scan, lines_of):
    """The image is made, and tells why nothing was learnt."""
    save_tiny_model(folder, limits={**LIMITS, "acceleration": [1.2, 16]})
    lines = [line for line in lines_of(1) if 22 <= line.idx.kspace_encode_step_1 < 38]
    _, meta = image_of(head_scan, lines, adapt_seconds=50)
    assert meta["kband_adapted"] == f"no (2 lines beyond the central 16, 8 needed to learn from): {AS_IT_CAME}"
    assert meta["kband_method"] == "k-band tiny"


def test_what_nobody_asked_for_is_not_done(head_scan, lines_of):
    """Neither by default, nor where no line was left out."""
    assert "kband_adapted" not in image_of(head_scan, lines_of(2))[1]
    assert "kband_adapted" not in image_of(head_scan, lines_of(1), 1, adapt_seconds=50)[1]


def test_an_image_of_another_method_claims_nothing(folder, head_scan, lines_of, monkeypatch):
    """A network that makes noise of everything learns little from a scan; SENSE makes its image."""
    monkeypatch.setattr(learner, "RATE", 0.0)
    save_network(folder, std=3.0)
    _, meta = image_of(head_scan, lines_of(2), adapt_seconds=50)
    assert meta["kband_method"] == "SENSE"
    assert "kband_adapted" not in meta


def test_no_bound_for_a_network_that_changes(folder, head_scan, lines_of):
    """The bound was calibrated on images of the network as it came."""
    save_tiny_head(folder)
    with pytest.raises(PipelineError, match=r"^KBandRecon\.adapt_seconds: the bound of uncertainty"):
        image_of(head_scan, lines_of(2), adapt_seconds=5, uncertainty=True)


def test_learning_must_end_before_the_image_is_due(head_scan, lines_of):
    """A time limit that is always passed would make every image a fallback."""
    with pytest.raises(PipelineError, match=r"^KBandRecon\.adapt_seconds: 60 s, less than the deadline of 60 s"):
        image_of(head_scan, lines_of(2), adapt_seconds=60)


def test_a_network_that_cannot_adapt_is_refused_before_the_scan(folder, head_scan, lines_of):
    """One sentence with its name."""
    save_network(folder, unrolls=2)
    with pytest.raises(PipelineError, match=r"^KBandRecon\.adapt_seconds: model 'tiny': only a network of kind modl"):
        image_of(head_scan, lines_of(2), adapt_seconds=5)
