"""Models are loaded only as what their cards say they are."""

import hashlib
import json
import pickle
import resource
import struct

import pytest
import safetensors.torch
import torch
import yaml

from kband_core.model_folders import SHIPPED, available_models
from kband_core.models import load_card, load_model, save_model
from kband_core.networks import build
from tests.tiny_models import CONFIG, FIELDS, save_tiny_model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of models with one model, "tiny", that is searched first; nothing has been loaded yet."""
    monkeypatch.setattr("kband_core.models._loaded", {})
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    save_tiny_model(tmp_path)
    return tmp_path


def refusal(name: str = "tiny") -> str:
    """The sentence with which a model is refused."""
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as refused:
        load_model(name)
    return str(refused.value)


def change_card(folder, **fields) -> None:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **fields}))


def replace_weights(folder, data: bytes) -> None:
    """Put other weights there, with a card that says so."""
    (folder / "tiny.safetensors").write_bytes(data)
    change_card(folder, sha256=hashlib.sha256(data).hexdigest())


def test_what_is_loaded_is_what_was_saved(folder):
    """Weights bit for bit, ready to infer, without gradients; the card knows hash and size."""
    torch.manual_seed(0)
    module, loaded = build("modl", **CONFIG), load_model("tiny")
    assert [*module.state_dict()] == [*loaded.state_dict()]
    assert all(map(torch.equal, module.state_dict().values(), loaded.state_dict().values()))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    card = load_card("tiny")
    assert card.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert card.sha256 == hashlib.sha256((folder / "tiny.safetensors").read_bytes()).hexdigest()
    assert card.network.config == CONFIG
    assert card.limits.acceleration == (1.2, 6)


def test_a_model_is_loaded_once(folder):
    """The second scan does not wait for it, whatever its name; other weights are another model."""
    first = load_model("tiny")
    save_tiny_model(folder, "twin")
    assert load_model("tiny") is first
    assert load_model("twin", torch.device("cpu")) is first
    save_tiny_model(folder, seed=1)
    assert load_model("tiny") is not first


def test_other_settings_with_the_same_weights_are_another_network(folder):
    """The hash of the weights does not tell how many iterations use them."""
    first = load_model("tiny")
    change_card(folder, network={"name": "modl", "config": {**CONFIG, "cg_iterations": 3}})
    assert load_model("tiny").cg_iterations == 3 != first.cg_iterations


def test_metrics_may_be_anything_a_training_makes_of_them(folder):
    """An infinite PSNR must not cost the weights of a night."""
    save_tiny_model(folder, metrics={"psnr": float("inf"), "ssim": float("nan"), "nmse": 0.5})
    metrics = load_card("tiny").metrics
    assert (metrics["psnr"], metrics["ssim"] == metrics["ssim"], metrics["nmse"]) == (float("inf"), False, 0.5)


def test_the_first_folder_that_has_a_model_wins(folder, tmp_path_factory, monkeypatch):
    """A site's own folder goes before ours; a folder that is not there does no harm."""
    other = tmp_path_factory.mktemp("other")
    save_tiny_model(other, seed=1)
    save_tiny_model(other, "second")
    monkeypatch.setenv("KBAND_MODELS", f"{folder}:{other}::{other}/missing")
    found = available_models()
    assert found["tiny"] == folder / "tiny.yaml"
    assert found["second"] == other / "second.yaml"
    assert {path.parent for path in found.values()} <= {folder, other, SHIPPED}


def test_a_card_without_weights_is_no_model(folder):
    """Nor are weights without a card."""
    (folder / "alone.yaml").write_text("")
    (folder / "bare.safetensors").write_bytes(b"")
    assert {"alone", "bare"}.isdisjoint(available_models())


@pytest.mark.parametrize(
    "name", ["../tiny", "/etc/passwd", "tiny.yaml", "./tiny", "", ".", "tiny\n", "tiny\0", "*", "ti ny", "x" * 5000]
)
def test_a_name_never_becomes_a_path(folder, name):
    """It may come from the network: what is not found by looking is refused, and what there is, is listed."""
    save_tiny_model(folder.parent / "outside")
    with pytest.raises(ValueError, match="no model '") as refused:
        load_model(name)
    assert str(refused.value).startswith(f"no model '{name}'; found tiny")


@pytest.mark.parametrize("name", ["a/b", "..", "", "ü", "a.b"])
def test_a_model_is_not_saved_under_what_is_no_name(tmp_path, name):
    """It could not be found again, or would stand elsewhere."""
    with pytest.raises(ValueError, match="a name has only letters"):
        save_tiny_model(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_without_models_the_sentence_says_where_they_are_looked_for(tmp_path, monkeypatch):
    """A checkout without weights is the usual reason."""
    monkeypatch.setattr("kband_core.model_folders.SHIPPED", tmp_path)
    monkeypatch.delenv("KBAND_MODELS", raising=False)
    assert refusal("x") == "no model 'x'; found none: KBAND_MODELS names folders of models"


def test_damaged_weights(folder):
    """One bit, or a copy that was cut short, and the sentence has both hashes."""
    path = folder / "tiny.safetensors"
    whole = path.read_bytes()
    for data in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-100], whole[:20], b""):
        path.write_bytes(data)
        found, said = hashlib.sha256(data).hexdigest()[:12], hashlib.sha256(whole).hexdigest()[:12]
        assert refusal() == (f"model 'tiny': tiny.safetensors is damaged or another's; its sha256 begins with {found}, "
                             f"that of the card with {said}")  # fmt: skip


def header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


STRANGE = json.dumps({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}).encode()


NO_TENSORS = [b"", b"{}", header(b"{}")[:-1], header(b"{]"), header(STRANGE) + bytes(4), b"\0\0\0\0\0\0\0\1{"]


@pytest.mark.parametrize("data", NO_TENSORS)
def test_weights_that_are_no_safetensors(folder, data):
    """Even where the card describes exactly that file."""
    replace_weights(folder, data)
    assert refusal().startswith("model 'tiny': tiny.safetensors is damaged (")


def test_pickled_weights_are_not_read(folder):
    """A pickle runs what its author wants; it is recognised by how it begins, whatever it is called."""
    sentence = "model 'tiny': tiny.safetensors is a pickle, which can run code; only safetensors are read"
    torch.save({"a": torch.zeros(1)}, folder / "zip")
    torch.save({"a": torch.zeros(1)}, folder / "old", _use_new_zipfile_serialization=False)
    for data in ((folder / "zip").read_bytes(), (folder / "old").read_bytes(), pickle.dumps({"a": 1})):
        (folder / "tiny.safetensors").write_bytes(data)
        assert refusal() == sentence
        replace_weights(folder, data)
        assert refusal() == sentence


def test_safetensors_that_begin_like_a_pickle_are_read(folder):
    """The first byte is the length of the header: 640 bytes begin as a pickle does."""
    weights = safetensors.torch.load_file(folder / "tiny.safetensors")
    data = next(d for n in range(600) if (d := safetensors.torch.save(weights, {"n": "x" * n}))[0] == 0x80)
    replace_weights(folder, data)
    assert load_model("tiny") is not None


def test_weights_of_another_architecture(folder):
    """The sentence names the first tensor that differs, by shape or by name."""
    weights = safetensors.torch.load_file(folder / "tiny.safetensors")
    other = "model 'tiny': the weights are of another architecture; "
    replace_weights(folder, safetensors.torch.save({**weights, "weight": torch.zeros(2)}))
    assert refusal() == f"{other}'weight' is (2,), not (1,)"
    replace_weights(folder, safetensors.torch.save({**weights, "extra": torch.zeros(2)}))
    assert refusal() == f"{other}they hold 'extra'"
    replace_weights(folder, safetensors.torch.save({k: v for k, v in weights.items() if k != "weight"}))
    assert refusal() == f"{other}they lack 'weight'"


def test_card_and_weights_disagree(folder):
    """In the network, its settings, or the count of its parameters."""
    n = load_card("tiny").parameters
    change_card(folder, network={"name": "modl", "config": {**CONFIG, "channels": 8}})
    assert "of another architecture" in refusal()
    change_card(folder, network={"name": "modl", "config": {**CONFIG, "depth": 8}})
    assert refusal().startswith("model 'tiny': its network cannot be built (network modl: no setting 'depth'; ")
    change_card(folder, network={"name": "modl", "config": {**CONFIG, "channels": "many"}})
    assert refusal().startswith("model 'tiny': its network cannot be built (")
    change_card(folder, network={"name": "vortex", "config": {}})
    assert refusal().startswith("model 'tiny': its network cannot be built (network: no network 'vortex'; ")
    change_card(folder, network={"name": "modl", "config": CONFIG}, parameters=n + 1)
    assert refusal() == f"model 'tiny': {n} parameters, but its card says {n + 1}"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(folder, value):
    """A training that diverged must not reach a scanner."""
    weights = safetensors.torch.load_file(folder / "tiny.safetensors")
    replace_weights(folder, safetensors.torch.save({**weights, "weight": torch.tensor([value])}))
    assert refusal() == "model 'tiny': the weights 'weight' hold NaN or infinity"


def test_cards_that_are_none(folder):
    """A typing error in a card must not end as a default."""
    change_card(folder, limit={})
    assert refusal() == "model 'tiny': tiny.yaml is no model card; limit: extra inputs are not permitted"
    change_card(folder, seed="first")
    assert refusal().startswith("model 'tiny': tiny.yaml is no model card; seed: input should be a valid integer")
    (folder / "tiny.yaml").write_text("- 1")
    assert refusal().startswith("model 'tiny': tiny.yaml is no model card; it: ")
    for text in (b"a: [", b"\xff\xfe\x00", b"!!python/object/apply:os.system ['true']"):
        (folder / "tiny.yaml").write_bytes(text)
        assert refusal().startswith("model 'tiny': tiny.yaml cannot be read (")


def test_a_card_goes_with_its_name(folder):
    """Renaming one file of another model would pass it off as this one."""
    (folder / "tiny.yaml").rename(folder / "large.yaml")
    (folder / "tiny.safetensors").rename(folder / "large.safetensors")
    assert refusal("large") == "model 'large': large.yaml is the card of 'tiny'"


def test_unknown_fields_are_not_saved(tmp_path):
    """A misspelt limit would be no limit."""
    with pytest.raises(ValueError, match="limit"):
        save_model(tmp_path, {**FIELDS, "name": "x", "limit": {}}, build("modl", **CONFIG))


def test_no_memory_is_taken_for_weights_that_are_not_there(folder):
    """A card of one page may announce more than a machine has; the file of weights cannot."""
    change_card(folder, network={"name": "modl", "config": {**CONFIG, "channels": 1024, "blocks": 64}})
    begun = tracked_memory()
    assert "the weights are of another architecture" in refusal()
    assert tracked_memory() - begun < 500_000  # kB; the network would be 7 GB


def tracked_memory() -> int:
    """The most memory this process has had so far, kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
