"""Trained models by name: found, loaded once, saved.

A model is two files of one name: `NAME.yaml`, the card, and `NAME.safetensors`, the weights. Both stand in a folder of
the environment variable `KBAND_MODELS`, or are shipped with this package; the first folder that has a name wins. A
model that says how large its errors are has a third one, `NAME.uncertainty.safetensors`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kband_core.finished_file import finished
from kband_core.model_card import IMAGE, Card, Uncertainty, read_card, write_card
from kband_core.model_folders import NAME, available_models
from kband_core.model_weights import n_parameters, pack_weights, read_head, read_weights
from kband_core.uncertainty.head import Head
from kband_core.uncertainty.reliability import Reliability

HEAD = ".uncertainty.safetensors"


def load_card(name: str) -> Card:
    """Read the card of a model. Raises `ValueError` if there is no such model, or if its card is none."""
    return read_card(_find(name))


_loaded: dict[tuple[str, str, str], nn.Module] = {}  # by hash, network and device
_loaded_heads: dict[tuple[str, str], Head] = {}  # by hash and device


def load_model(model: str | Card, device: torch.device | str = "cpu") -> nn.Module:
    """Return a model, by name or as a card describes it, on `device`, ready to infer; the same one every time.

    Who keeps the card gets that very model, though the files may change. Raises `ValueError` in one sentence if there
    is no such model, if its weights are damaged, pickled or not finite, or if card and weights disagree.
    """
    card = model if isinstance(model, Card) else load_card(model)
    key = card.sha256, card.network.model_dump_json(), str(torch.device(device))
    if key not in _loaded:
        _loaded[key] = read_weights(card, _find(card.name).with_suffix(".safetensors")).to(device)
    return _loaded[key]


def load_head(model: str | Card, device: torch.device | str = "cpu") -> Head:
    """Return what says how large the errors of a model's images are, likewise; `ValueError` where it has none."""
    card = model if isinstance(model, Card) else load_card(model)
    key = "" if card.uncertainty is None else card.uncertainty.sha256, str(torch.device(device))
    if key not in _loaded_heads:
        _loaded_heads[key] = read_head(card, _find(card.name).with_suffix(HEAD)).to(device)
    return _loaded_heads[key]


def save_model(folder: Path, fields: Mapping[str, Any], module: nn.Module) -> Card:
    """Write weights and card of a trained network into `folder`.

    `fields` are those of `Card`, but for `sha256` and `parameters`, which the weights tell. Raises `ValueError` for a
    name that is none.
    """
    data = pack_weights(module)
    card = Card(**fields, parameters=n_parameters(module), sha256=hashlib.sha256(data).hexdigest())
    if not NAME.fullmatch(card.name):
        raise ValueError(f"model '{card.name}': a name has only letters, digits, - and _")
    _write(folder, card.name, {".safetensors": data, ".yaml": write_card(card)})
    return card


def save_head(folder: Path, card: Card, told: Mapping[str, Any], table: Reliability, head: Head) -> Card:
    """Write a model of the registry with another head into `folder`: its weights as they are, the head's, and its card.

    `told` are the fields of the card's `uncertainty` that the head does not tell itself.
    """
    data = pack_weights(head)
    uncertainty = Uncertainty(
        **told, channels=head.channels, parameters=n_parameters(head), sha256=hashlib.sha256(data).hexdigest()
    )
    weights = _find(card.name).with_suffix(".safetensors").read_bytes()
    card = card.model_copy(
        update={"uncertainty": uncertainty, "reliability": {**card.reliability, IMAGE: table}}
    )
    _write(folder, card.name, {".safetensors": weights, HEAD: data, ".yaml": write_card(card)})
    return card


def _write(folder: Path, name: str, contents: Mapping[str, bytes]) -> None:
    for suffix, content in contents.items():
        with finished(folder / f"{name}{suffix}") as unfinished:
            unfinished.write_bytes(content)


def _find(name: str) -> Path:
    """The card of a model. The name may come from the network: it is looked up, never made a path of."""
    found = available_models()
    if name not in found:
        raise ValueError(f"no model '{name}'; found {', '.join(found) or 'none: KBAND_MODELS names folders of models'}")
    return found[name]
