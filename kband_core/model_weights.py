"""A model's weights: read only as what its card says they are, never a pickle, and written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import torch
from torch import nn

from kband_core import networks
from kband_core.model_card import IMAGE, Card
from kband_core.uncertainty.head import Head

Module = TypeVar("Module", bound=nn.Module)
PICKLES = (b"PK\x03\x04", b"\x80")  # how files of torch.save begin, new and old


def read_weights(card: Card, path: Path) -> nn.Module:
    """Build the network of a card with the weights of a file, ready to infer.

    Raises `ValueError` in one sentence if they are damaged, pickled or not finite, or if card and weights disagree.
    """
    who = f"model '{card.name}'"
    return _read(who, path, card.sha256, card.parameters, lambda: _built(card, who))


def read_head(card: Card, path: Path) -> Head:
    """Build the head that says how large the errors of a model are, likewise; `ValueError` too where a card has none.
    """
    who = f"model '{card.name}'"
    if card.uncertainty is None or IMAGE not in card.reliability:
        raise ValueError(f"{who}: its card has no uncertainty; kband uncertainty {card.name} trains a head")
    told = card.uncertainty
    return _read(f"{who}: uncertainty", path, told.sha256, told.parameters, lambda: Head(told.channels))


def _read(who: str, path: Path, sha256: str, parameters: int, build: Callable[[], Module]) -> Module:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{who}: {path.name} cannot be read ({error.strerror})") from error
    if data.startswith(PICKLES) and data[8:9] != b"{":
        raise ValueError(f"{who}: {path.name} is a pickle, which can run code; only safetensors are read")
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{who}: {path.name} is damaged or another's; its sha256 begins with {found[:12]}, "
            f"that of the card with {sha256[:12]}"
        )
    try:
        weights = safetensors.torch.load(data)
    except (safetensors.SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{who}: {path.name} is damaged ({' '.join(str(error).split())})") from error
    with torch.device("meta"):  # no memory before the weights are known to be as many
        expected = build()
    _compare(who, expected, weights)
    if n_parameters(expected) != parameters:
        raise ValueError(f"{who}: {n_parameters(expected)} parameters, but its card says {parameters}")
    module = build()
    module.load_state_dict(weights)
    return module.eval().requires_grad_(False)


def pack_weights(module: nn.Module) -> bytes:
    """Return the weights as safetensors; convolutions that compute in bfloat16 are stored so, at half the size."""
    weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()}
    for name in _bf16_parameters(module):
        weights[name] = weights[name].bfloat16()
    return safetensors.torch.save(weights)


def n_parameters(module: nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(parameter.numel() for parameter in module.parameters())


def _built(card: Card, who: str) -> nn.Module:
    try:
        return networks.build(card.network.name, **card.network.config)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{who}: its network cannot be built ({error})") from error


def _compare(who: str, module: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Raise `ValueError` with the first thing in which weights and network differ, or that is not finite."""
    wanted = module.state_dict()
    for name in sorted({*wanted, *weights}):
        if name not in weights or name not in wanted:
            lack = "lack" if name not in weights else "hold"
            raise ValueError(f"{who}: the weights are of another architecture; they {lack} '{name}'")
        given, expected = tuple(weights[name].shape), tuple(wanted[name].shape)
        if given != expected:
            raise ValueError(f"{who}: the weights are of another architecture; '{name}' is {given}, not {expected}")
        if not torch.isfinite(weights[name]).all():
            raise ValueError(f"{who}: the weights '{name}' hold NaN or infinity")


def _bf16_parameters(module: nn.Module) -> list[str]:
    if not getattr(module, "bf16", False):
        return []
    convolutions = {name for name, part in module.named_modules() if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d))}
    return [name for name, _ in module.named_parameters() if name.rpartition(".")[0] in convolutions]
