"""Trained models: a card that says what a network is and has seen, weights that are checked against it, a warm cache.

A model is two files of one name: `NAME.yaml`, the card, and `NAME.safetensors`, the weights. Both stand in a folder of
the environment variable `KBAND_MODELS`, or are shipped with this package; the first folder that has a name wins.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from kband_core import networks
from kband_core.finished_file import finished

SHIPPED = Path(__file__).parent / "shipped"
NAME = re.compile(r"[A-Za-z0-9_-]+")
PICKLES = (b"PK\x03\x04", b"\x80")  # how files of torch.save begin, new and old

Sampling = Literal["lines", "samples"]

TITLES = {"modl": "MoDL", "unet": "U-Net"}  # of networks, as their papers write them
BANDS = ("kband", "reference")  # supervisions by bands that turn, weighted for all of k-space
TRAINED = {
    "ssdu": "self-supervised", "vertical": "supervised by vertical bands", "square": "supervised by central squares"
}  # fmt: skip


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants", protected_namespaces=())


class Network(_Part):
    """What `networks.build` is told."""

    name: str
    config: dict[str, Any] = {}


class Limits(_Part):
    """What a model has seen in training; coils and contrast are free.

    `acceleration`: all lines over acquired lines, from, to; `matrix`: the smallest and largest side; `acs_lines`: the
    fewest adjacent lines in the centre of k-space.
    """

    acceleration: tuple[float, float]
    matrix: tuple[int, int]
    acs_lines: int
    sampling: tuple[Sampling, ...]


class Card(_Part):
    """What a model is, what it was trained on and how, where it may be used, and how well it did."""

    name: str
    network: Network
    parameters: int
    sha256: str
    supervision: str
    trained_on: str
    recipe: str
    seed: int
    steps: int
    date: datetime.date
    limits: Limits
    metrics: dict[str, float] = {}

    @property
    def label(self) -> str:
        """What an image says made it, for people: "k-band NAME" of a network trained on bands, else network, name, and
        how it was trained on what.
        """
        if self.supervision in BANDS:
            return f"k-band {self.name}"
        network = TITLES.get(self.network.name, self.network.name)
        how, material = TRAINED.get(self.supervision, self.supervision), self.trained_on.partition(" of ")[0]
        return f"{network} {self.name}, {how} on {material}"

    def mismatch(
        self,
        *,
        matrix: tuple[int, int] | None = None,
        acceleration: float | None = None,
        acs_lines: int | None = None,
        sampling: Sampling | None = None,
    ) -> list[str]:
        """List in what a scan lies outside what the model has seen; what is not given is not judged.

        `matrix` is (ky, kx), `acceleration` that of all lines over acquired lines.
        """
        seen, found = self.limits, []
        if matrix is not None and not all(seen.matrix[0] <= side <= seen.matrix[1] for side in matrix):
            found.append(f"matrix {matrix[0]} × {matrix[1]}, {self.name} has seen {seen.matrix[0]} to {seen.matrix[1]}")
        if acceleration is not None and not seen.acceleration[0] <= acceleration <= seen.acceleration[1]:
            fewest, most = seen.acceleration
            found.append(f"acceleration {acceleration:.2f}, {self.name} has seen {fewest:g} to {most:g}")
        if acs_lines is not None and acs_lines < seen.acs_lines:
            found.append(f"calibration lines in the image: {acs_lines}, {self.name} has seen {seen.acs_lines} and more")
        if sampling is not None and sampling not in seen.sampling:
            found.append(f"undersampled by {sampling}, {self.name} has seen {' and '.join(seen.sampling)}")
        return found


def available_models() -> dict[str, Path]:
    """Name → card of every model that has its weights beside it, in the order of search."""
    found: dict[str, Path] = {}
    for folder in _folders():
        for path in sorted(folder.glob("*.yaml")):
            if NAME.fullmatch(path.stem) and path.with_suffix(".safetensors").is_file():
                found.setdefault(path.stem, path)
    return found


def load_card(name: str) -> Card:
    """Read the card of a model. Raises `ValueError` if there is no such model, or if its card is none."""
    path = _find(name)
    try:
        card = Card.model_validate(yaml.safe_load(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise ValueError(f"model '{name}': {path.name} is no model card; {where}: {first['msg'].lower()}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"model '{name}': {path.name} cannot be read ({' '.join(str(error).split())})") from error
    if card.name != name:
        raise ValueError(f"model '{name}': {path.name} is the card of '{card.name}'")
    return card


_loaded: dict[tuple[str, str, str], nn.Module] = {}  # by hash, network and device


def load_model(model: str | Card, device: torch.device | str = "cpu") -> nn.Module:
    """Return a model, by name or as a card describes it, on `device`, ready to infer; the same one every time.

    Who keeps the card gets that very model, though the files may change. Raises `ValueError` in one sentence if there
    is no such model, if its weights are damaged, pickled or not finite, or if card and weights disagree.
    """
    card = model if isinstance(model, Card) else load_card(model)
    key = card.sha256, card.network.model_dump_json(), str(torch.device(device))
    if key not in _loaded:
        _loaded[key] = _checked(card, _find(card.name).with_suffix(".safetensors")).to(device)
    return _loaded[key]


def save_model(folder: Path, fields: Mapping[str, Any], module: nn.Module) -> Card:
    """Write weights and card of a trained network into `folder`.

    Convolutions that compute in bfloat16 are stored so: half the size, and the same images. `fields` are those of
    `Card`, but for `sha256` and `parameters`, which the weights tell. Raises `ValueError` for a name that is none.
    """
    weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()}
    for name in _bf16_parameters(module):
        weights[name] = weights[name].bfloat16()
    data = safetensors.torch.save(weights)
    card = Card(**fields, parameters=_n_parameters(module), sha256=hashlib.sha256(data).hexdigest())
    if not NAME.fullmatch(card.name):
        raise ValueError(f"model '{card.name}': a name has only letters, digits, - and _")
    text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    for suffix, content in ((".safetensors", data), (".yaml", text.encode())):
        with finished(folder / f"{card.name}{suffix}") as unfinished:
            unfinished.write_bytes(content)
    return card


_searched_first: list[Path] = []


@contextmanager
def searched_first(folder: Path) -> Iterator[None]:
    """Find the models of `folder` before all others, in the `with` alone: for a card that is named by its file."""
    _searched_first.insert(0, folder)
    try:
        yield
    finally:
        _searched_first.remove(folder)


def _folders() -> list[Path]:
    named = os.environ.get("KBAND_MODELS", "").split(os.pathsep)
    return [*_searched_first, *(Path(folder) for folder in named if folder), SHIPPED]


def _find(name: str) -> Path:
    """The card of a model. The name may come from the network: it is looked up, never made a path of."""
    found = available_models()
    if name not in found:
        raise ValueError(f"no model '{name}'; found {', '.join(found) or 'none: KBAND_MODELS names folders of models'}")
    return found[name]


def _checked(card: Card, path: Path) -> nn.Module:
    who = f"model '{card.name}'"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{who}: {path.name} cannot be read ({error.strerror})") from error
    if data.startswith(PICKLES) and data[8:9] != b"{":
        raise ValueError(f"{who}: {path.name} is a pickle, which can run code; only safetensors are read")
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != card.sha256:
        raise ValueError(
            f"{who}: {path.name} is damaged or another's; its sha256 begins with {sha256[:12]}, "
            f"that of the card with {card.sha256[:12]}"
        )
    try:
        weights = safetensors.torch.load(data)
    except (safetensors.SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{who}: {path.name} is damaged ({' '.join(str(error).split())})") from error
    module = _built(card, who)
    _compare(who, module, weights)
    if _n_parameters(module) != card.parameters:
        raise ValueError(f"{who}: {_n_parameters(module)} parameters, but its card says {card.parameters}")
    module.load_state_dict(weights)
    return module.eval().requires_grad_(False)


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


def _n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
