"""What an image may say made it is what the model's card says, and no more."""

import datetime
from typing import Any

import pytest

from kband_core.model_card import Card, Limits, Network
from kband_core.model_folders import SHIPPED
from kband_core.models import load_card
from kband_core.training.supervision import SUPERVISIONS

LIMITS = Limits(acceleration=(2, 4), matrix=(64, 256), acs_lines=16, sampling=("lines",))


def card_of(supervision: str, network: str = "modl", **fields: Any) -> Card:
    told = {
        "name": "knee", "network": Network(name=network), "parameters": 1, "sha256": "0", "supervision": supervision,
        "trained_on": "120 planes of 10 subjects (planes.h5)", "recipe": "", "seed": 0, "steps": 1,
        "date": datetime.date(2026, 1, 1), "limits": LIMITS,
    }  # fmt: skip
    return Card(**{**told, **fields})


def label(supervision: str, **fields: Any) -> str:
    return card_of(supervision, **fields).label


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
    """It was trained on fully sampled simulated scans, not on bands; the one beside it on bands alone."""
    monkeypatch.delenv("KBAND_MODELS", raising=False)
    assert (SHIPPED / "simulated_small.yaml").is_file()
    assert load_card("simulated_small").label == "MoDL simulated_small, supervised on simulated scans"
    assert load_card("simulated_fast").label == "MoDL simulated_fast, supervised on simulated scans"
    assert load_card("simulated_kband").label == "k-band simulated_kband"


@pytest.mark.parametrize(
    ("before", "supervision", "words"),
    [
        ("supervised", "kband", "MoDL knee, supervised on simulated scans, then supervised by bands on 120 planes"),
        ("supervised", "ssdu", "MoDL knee, supervised on simulated scans, then self-supervised on 120 planes"),
        ("kband", "supervised", "MoDL knee, supervised by bands on simulated scans, then supervised on 120 planes"),
        ("kband", "kband", "k-band knee"),
    ],
)
def test_a_network_that_went_on_says_all_that_taught_it(before, supervision, words):
    """Bands alone have taught it only if they did in every training."""
    first = card_of(before, name="first", trained_on="simulated scans of random objects")
    assert label(supervision, pretrained=first.as_earlier()) == words


def test_trainings_are_told_oldest_first():
    """The third of three tells the first as well, though its own recipe names the second alone."""
    first = card_of("supervised", name="first")
    second = card_of("kband", name="second", pretrained=first.as_earlier())
    assert [earlier.name for earlier in second.as_earlier()] == ["first", "second"]


def test_a_card_of_an_earlier_version_claims_no_bands_alone():
    """It tells that it began with a model, not what that was taught by."""
    told = label("kband", recipe="name: knee\npretrained: simulated_small\nnetwork:\n  name: modl\n")
    assert told == "MoDL knee, begun with simulated_small, then supervised by bands on 120 planes"
