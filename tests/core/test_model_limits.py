"""What a card says that its model has seen, and how it says that a scan is unlike that."""

import pytest

from kband_core.model_card import Card, read_card
from kband_core.models import load_card
from tests.tiny_models import LIMITS, save_tiny_model

FURTHER = {"spacing": 5, "coils": [4, 12], "snr": 12.5, "unmapped": 0.01}
STRANGE_SCAN = {"spacing": 6, "coils": 3, "snr": 2.0, "unmapped": 0.0321}


@pytest.fixture
def card(tmp_path) -> Card:
    """The card of a model, as it is read again."""
    save_tiny_model(tmp_path)
    return read_card(tmp_path / "tiny.yaml")


def test_what_the_model_has_not_seen_is_listed(card):
    """Each with the number and what was expected; what is not given is not judged."""
    inside = {"matrix": (32, 256), "acceleration": 6.0, "acs_lines": 12, "sampling": "lines"}
    assert card.mismatch(**inside) == card.mismatch() == []
    assert card.mismatch(matrix=(31, 257), acceleration=6.01, acs_lines=11, sampling="samples") == [
        "matrix 31 × 257, tiny has seen 32 to 256",
        "acceleration 6.01, tiny has seen 1.2 to 6",
        "calibration lines in the image: 11, tiny has seen 12 and more",
        "undersampled by samples, tiny has seen lines",
    ]
    assert card.mismatch(acceleration=1.0) == ["acceleration 1.00, tiny has seen 1.2 to 6"]


def test_what_an_old_card_does_not_tell_is_not_judged(card):
    """Cards that were written before there were these limits go on to load."""
    assert card.limits.coils is None
    assert card.mismatch(**STRANGE_SCAN) == []


def test_each_further_limit_is_asked(tmp_path):
    """Thing, number, and what was expected."""
    card = save_tiny_model(tmp_path, limits={**LIMITS, **FURTHER})
    assert read_card(tmp_path / "tiny.yaml") == card
    assert card.mismatch(**STRANGE_SCAN) == [
        "lines 6 apart outside the centre, tiny has seen 5 at most",
        "coils: 3, tiny has seen 4 to 12",
        "SNR 2.0, tiny has seen 12.5 and more",
        "3.2 % of the calibration where coil maps are zero, tiny has seen 1 % at most",
    ]
    assert card.mismatch(spacing=5, coils=12, snr=12.5, unmapped=0.01) == []
    assert card.mismatch(coils=13) == ["coils: 13, tiny has seen 4 to 12"]
    assert card.mismatch(snr=float("nan")) == ["SNR nan, tiny has seen 12.5 and more"]


@pytest.mark.parametrize(
    "scan",
    [{"spacing": 7}, {"spacing": 8}, {"coils": 1}, {"coils": 2}, {"coils": 3}, {"acceleration": 6.6}, {"snr": 1.0},
     {"snr": 2.0}, {"unmapped": 0.03}],
)  # fmt: skip
def test_the_model_that_ships_knows_what_it_has_not_seen(monkeypatch, scan):
    """It was trained on every 2nd to 6th line, SNR 12.5 and more, maps of the whole object; of two coils it may draw
    what is not there."""
    monkeypatch.delenv("KBAND_MODELS", raising=False)
    card = load_card("simulated_small")
    assert len(card.mismatch(**scan)) == 1
    assert card.mismatch(spacing=6, coils=4, snr=13.0, unmapped=0.005) == []
