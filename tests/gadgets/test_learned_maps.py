"""Maps by a network: whose they are, and what is left to the fit."""

import pytest
import torch

from gadgets.errors import PipelineError
from gadgets.images.echoes import GatheredEchoes
from gadgets.images.water_fat import WaterFat
from gadgets.items import ImageArray
from gadgets.recon.kband_recon import KBandRecon
from gadgets.scan import Scan
from kband_core.model_card import EchoLimits
from kband_core.models import save_model
from kband_core.networks import build
from pipelines.simulation import simulated_echoes
from tests.gadgets.test_water_fat import PLAIN, TIMES, array_of, belly, made_of
from tests.tiny_models import FIELDS, save_tiny_model

SEEN = {"number": (3, 8), "spacing_ms": (0.5, 2.5), "last_ms": (2, 18), "field_t": (1.4, 3.1)}
CHANNELS = [2, 2, 2]


def save(folder, **echoes):
    """A network without training, whose maps are those of the echoes."""
    limits = {**FIELDS["limits"], "matrix": [8, 64], "acceleration": [1, 4]}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build("upnet", channels=CHANNELS)
    network = {"name": "upnet", "config": {"channels": CHANNELS}}
    fields = {**FIELDS, "name": "maps", "network": network, "supervision": "water_fat", "limits": limits}
    return save_model(folder, {**fields, "echoes": EchoLimits(**{**SEEN, **echoes})}, module)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def header():
    return simulated_echoes._header(PLAIN, simulated_echoes.Echoes(TIMES, 1.5))


def pdff_of(header, **changed):
    """Header, meta and mean of the PDFF of an even belly."""
    arrays = [array_of(n, pixels, **changed) for n, pixels in enumerate(belly(0.3))]
    items = made_of(WaterFat(model="maps"), header, made_of(GatheredEchoes(), header, arrays))
    maps = [item for item in items if isinstance(item, ImageArray) and "kband_quantity" in item.meta[0, 0, 0]]
    (pdff,) = [one for one in maps if one.meta[0, 0, 0]["kband_quantity"] == "PDFF"]
    assert len(maps) == 9
    return pdff.headers[0, 0, 0], pdff.meta[0, 0, 0], float(pdff.data.real.mean()) / 20


def test_maps_say_which_network_made_them(header, folder):
    """In the comment and in the meta, with the hash of its weights; series and scale are those of the fit."""
    card = save(folder)
    shown, meta, mean = pdff_of(header)
    assert meta["kband_maps"] == f"maps {card.sha256[:12]}"
    said = "maps by UP-Net maps, supervised on nothing: random weights; water and fat of 4 echoes"
    assert said in meta["ImageComments"]
    assert (shown.image_series_index, meta["kband_fallback"], meta["RescaleType"]) == (51, "no", "%")
    assert mean == pytest.approx(30, abs=1)


@pytest.mark.parametrize(
    ("seen", "changed", "reason"),
    [
        ({"number": (5, 8)}, {}, "4 echoes, maps has seen 5 to 8"),
        ({"spacing_ms": (1.0, 2.5)}, {}, "echoes 0.9 to 1.2 ms apart, maps has seen 1 to 2.5"),
        ({"last_ms": (6, 18)}, {}, "a last echo at 4.1 ms, maps has seen 6 to 18"),
        ({"field_t": (2.8, 3.1)}, {}, "1.5 T, maps has seen 2.8 to 3.1"),
        ({}, {"kband_acceleration": "4.50"}, "acceleration 4.50, maps has seen 1 to 4"),
    ],
)
def test_echoes_unlike_those_it_has_seen_are_left_to_the_fit(header, folder, seen, changed, reason):
    """Marked: a fallback is never to be taken for what was asked for."""
    save(folder, **seen)
    shown, meta, mean = pdff_of(header, **changed)
    assert shown.image_series_index == 151
    assert meta["kband_fallback"] == f"WaterFat: {reason}"
    assert (meta["kband_maps"], mean) == ("fit", pytest.approx(30, abs=1))
    assert meta["ImageComments"].startswith("PDFF of SENSE; image: FALLBACK maps by the fit: ")
    assert meta["SequenceDescriptionAdditional"] == "_SENSE_FALLBACK_PDFF"


def test_without_a_model_nothing_is_said_of_one(header):
    """Maps of today stay what they are."""
    arrays = [array_of(n, pixels) for n, pixels in enumerate(belly(0.3))]
    items = made_of(WaterFat(), header, made_of(GatheredEchoes(), header, arrays))
    assert all("kband_maps" not in item.meta[0, 0, 0] for item in items if isinstance(item, ImageArray))


def test_a_model_of_the_other_kind_is_refused_before_the_scan(header, head_scan, folder):
    """Both ways, in one sentence."""
    save(folder)
    save_tiny_model(folder)
    with pytest.raises(PipelineError, match=r"^WaterFat.model: tiny makes images; a model that maps water and"):
        WaterFat(model="tiny").open(Scan.from_xml(header))
    with pytest.raises(PipelineError, match=r"^KBandRecon.model: maps maps water and fat; a model that makes"):
        KBandRecon(model="maps").open(head_scan())
    with pytest.raises(PipelineError, match=r"^WaterFat.model: no model 'upnet'; found maps, tiny"):
        WaterFat(model="upnet").open(Scan.from_xml(header))
