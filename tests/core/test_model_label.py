"""What an image may say made it is what the model's card says, and no more."""

import datetime

import pytest

from kband_core.model_card import Card, Limits, Network
from kband_core.model_folders import SHIPPED
from kband_core.models import load_card
from kband_core.training.supervision import SUPERVISIONS

LIMITS = Limits(acceleration=(2, 4), matrix=(64, 256), acs_lines=16, sampling=("lines",))


def label(supervision: str, network: str = "modl", trained_on: str = "120 planes of 10 subjects (planes.h5)") -> str:
    return Card(
        name="knee", network=Network(name=network), parameters=1, sha256="0", supervision=supervision,
        trained_on=trained_on, recipe="", seed=0, steps=1, date=datetime.date(2026, 1, 1), limits=LIMITS,
    ).label  # fmt: skip


@pytest.mark.parametrize("supervision", SUPERVISIONS)
def test_only_networks_trained_on_turning_bands_are_called_k_band(supervision):
    """The method's name belongs to what was trained by the method."""
    assert (label(supervision) == "k-band knee") == (supervision in ("kband", "reference", "sectors"))


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"supervision": "supervised"}, "MoDL knee, supervised on 120 planes"),
        ({"supervision": "ssdu", "network": "unet"}, "U-Net knee, self-supervised on 120 planes"),
        ({"supervision": "supervised", "network": "ours"}, "ours knee, supervised on 120 planes"),
        ({"supervision": "vertical"}, "MoDL knee, supervised by vertical bands on 120 planes"),
    ],
)
def test_the_others_say_network_name_and_supervision(card, words):
    """Who reads the comment at the console learns what the network was, and what taught it."""
    assert label(**card) == words


def test_the_model_that_ships_says_that_it_was_supervised(monkeypatch):
    """It was trained on fully sampled simulated scans, not on bands."""
    monkeypatch.delenv("KBAND_MODELS", raising=False)
    assert (SHIPPED / "simulated_small.yaml").is_file()
    assert load_card("simulated_small").label == "MoDL simulated_small, supervised on simulated scans"
