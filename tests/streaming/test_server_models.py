"""A server with trained models: warm workers give the cold chain's pixels, and clients choose among what is there."""

import json

import pytest
import torch

from gadgets.items import ImageArray
from pipelines.hosts.worker import _models
from tests.laws import nmse
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import line_bytes, serving
from tests.streaming.stock import images_of, inner_configuration, prepared
from tests.tiny_models import save_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:A builtin ctypes object")  # Gadgetron's library, reading headers


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server that finds two models, one of which stands in for the shipped one."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("models")
        patch.setenv("KBAND_MODELS", str(folder))
        save_tiny_model(folder, "simulated_small")
        save_tiny_model(folder, "other", seed=1)
        save_tiny_model(folder.parent / "outside", "secret")
        with serving(n_workers=1) as served:
            yield served


def scanned(served, scan, model: str):
    """A peer that has sent a scan, with a model as a parameter, and heard everything."""
    parameters = by_hand.text(5, json.dumps({"parameters": {"KBandRecon.model": model}}).encode())
    with served.connect() as peer:
        header = by_hand.text(3, scan[0].encode())
        lines = map(line_bytes, scan[1])
        return peer.send(by_hand.config_file("kband"), header, parameters, *lines, by_hand.CLOSE).hear_out()


def test_warm_images_are_the_cold_ones(served, scan):
    """What Gadgetron gets through <connect> is what <execute> would have made (another number of threads: 1e-10)."""
    lines = prepared(*scan[:2])
    cold: list[ImageArray] = images_of(inner_configuration("kband"), scan[0], prepared(*scan[:2]))
    with served.connect() as parent:
        config = by_hand.text(2, inner_configuration("kband_warm").encode())
        parent.send(config, by_hand.text(3, scan[0].encode()), *map(line_bytes, lines), by_hand.CLOSE).hear_out()
    arrays = parent.arrays()
    assert len(arrays) == len(cold) == 2
    assert [array.meta[0, 0, 0]["kband_method"] for array in cold] == ["k-band simulated_small"] * 2
    for warm, array in zip(arrays, cold, strict=True):
        assert nmse(torch.tensor(warm), array.data) < 1e-10


def test_client_chooses_a_model_by_its_name(served, scan):
    """As any other declared property."""
    peer = scanned(served, scan, "other")
    assert {image.meta["kband_method"] for image in peer.images()} == {"k-band other"}
    assert len(peer.images()) == 2


@pytest.mark.parametrize("name", ["../outside/secret", "/etc/passwd", "secret", "other.safetensors"])
def test_client_cannot_lead_the_server_to_a_file(served, scan, name):
    """A name is looked up among the models that are there; the sentence lists them, and no image is made."""
    peer = scanned(served, scan, name)
    assert peer.sentence().startswith(f"KBandRecon.model: no model '{name}'; found other, simulated_small")
    assert peer.images() == []


def test_workers_load_what_installed_pipelines_name():
    """The first scan does not wait for it."""
    assert _models() == ["simulated_small"]
