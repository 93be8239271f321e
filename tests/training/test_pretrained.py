"""`kband train --pretrained`: going on from a model, on other scans, under another supervision."""

from dataclasses import replace

import pytest
import torch
import yaml

from kband_core.models import load_card
from kband_core.training.dataset import PlaneWriter
from kband_core.training.simulation.procedural import procedural_plane
from tests.command import kband
from tests.tiny_models import CONFIG, save_tiny_model
from tests.training.tiny import TINY


@pytest.fixture
def call(tmp_path, monkeypatch):
    """A site's training from a supervised model: planes that lack lines, judged by SSDU."""
    save_tiny_model(tmp_path / "shipped", "before", supervision="supervised", trained_on="simulated scans of heads")
    monkeypatch.setenv("KBAND_MODELS", f"{tmp_path / 'shipped'}:{tmp_path / 'models'}")
    rng, lacks = torch.Generator().manual_seed(0), (torch.arange(40) % 2 == 0)[:, None]
    lacks[14:26] = True
    with PlaneWriter(tmp_path / "planes.h5") as writer:
        for subject in "abc":
            plane = procedural_plane((40, 40), n_coils=2, rng=rng)
            writer.append(replace(plane, subject=subject, kspace=plane.kspace * lacks, mask=lacks))
    recipe = {**TINY, "name": "site", "network": {"name": "modl", **CONFIG}, "supervision": {"name": "ssdu"}}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(recipe))
    return ("train", tmp_path / "site.yaml", "-o", tmp_path / "models", "--workers", 0, "--device", "cpu",
            "--planes", tmp_path / "planes.h5", "--steps")  # fmt: skip


def test_a_site_goes_on_with_undersampled_scans(call):
    """Its model says, in images too, that bands or full scans of the site never taught it."""
    told = kband(*call, 1, "--pretrained", "before")
    assert told.exit_code == 0, told.output
    card = load_card("site")
    assert card.label == "MoDL site, supervised on simulated scans, then self-supervised on 2 planes"
    assert card.pretrained == load_card("before").as_earlier()


def test_a_resumed_training_began_with_what_it_began_with(call, tmp_path):
    """Under its name another model may stand by now, and another name is another training."""
    first = load_card("before").as_earlier()
    kband(*call, 1, "--pretrained", "before")
    save_tiny_model(tmp_path / "shipped", "before", seed=1, supervision="kband")
    assert "the checkpoint is of another recipe" in kband(*call, 2, "--resume").output
    told = kband(*call, 2, "--resume", "--pretrained", "before")
    assert told.exit_code == 0, told.output
    assert load_card("site").pretrained == first


def test_another_network_is_one_sentence(call):
    """Its name and settings, as card and recipe have them."""
    told = kband(*call, 1, "--pretrained", "simulated_waterfat")
    assert (told.exit_code, told.output.count("\n")) == (1, 1)
    assert "recipe site: the weights of 'simulated_waterfat' do not fit network modl, for it is upnet;" in told.output
