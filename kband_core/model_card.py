"""A model's card: what a network is, what it was trained on, where it may be used, and how well it did."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kband_core.plain_yaml import read_yaml
from kband_core.uncertainty.reliability import Reliability

Sampling = Literal["lines", "samples", "spokes", "shots"]  # shots: spirals, and what else is no spoke

TITLES = {
    "kiki": "KIKI-net", "modl": "MoDL", "pkt": "PKT", "unet": "U-Net", "upnet": "UP-Net",
    "line_evaluator": "line evaluator",
}  # of networks, as their papers write them
IMAGE = "image"  # the quantity of `reliability` that a head speaks of
# what earlier versions do not know: unsaid if empty
LATER = ("warning", "reliability", "uncertainty", "echoes", "pretrained")
BANDS = ("kband", "reference", "sectors")  # supervisions by bands that turn, weighted for all of k-space
TRAINED = {
    "kband": "supervised by bands", "reference": "supervised by bands", "sectors": "supervised by sectors",
    "ssdu": "self-supervised", "vertical": "supervised by vertical bands", "square": "supervised by central squares",
    "lines": "supervised",
    "spokes": "supervised", "spokes_ssdu": "self-supervised", "rings": "supervised by central discs",
    "water_fat": "supervised",
    "predicted_spokes": "supervised by spokes",
}  # fmt: skip
BEGINS = re.compile(r"^pretrained: (.+)$", re.MULTILINE)  # in the text of a recipe


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants", protected_namespaces=())


class Network(_Part):
    """What `networks.build` is told."""

    name: str
    config: dict[str, Any] = {}


class Limits(_Part):
    """What a model has seen in training; contrast is free.

    `acceleration`: all lines over acquired lines, from, to, along trajectories shots of Nyquist over those acquired;
    `matrix`: the smallest and largest side; `acs_lines`: the fewest adjacent lines in the centre of k-space;
    `sampling`: by whole lines or single samples of a grid, along spokes or other shots. Of a card that lacks them the
    others are not judged: `spacing`, the farthest that lines of a grid are apart outside the centre; `coils`, from, to;
    `snr`, the least; `unmapped`, the largest share of the calibration's energy where coil maps are zero. The last two
    are those of `likeness`, of radial scans those of `shots`.
    """

    acceleration: tuple[float, float]
    matrix: tuple[int, int]
    acs_lines: int
    sampling: tuple[Sampling, ...]
    spacing: int | None = None
    coils: tuple[int, int] | None = None
    snr: float | None = None
    unmapped: float | None = None


class EchoLimits(_Part):
    """Which echoes a model that maps them has seen, from, to: `number`, milliseconds between neighbours and to the last
    one, and the field strength in T.
    """

    number: tuple[int, int]
    spacing_ms: tuple[float, float]
    last_ms: tuple[float, float]
    field_t: tuple[float, float]

    def mismatch(self, name: str, echo_times_ms: Sequence[float], field_t: float) -> list[str]:
        """List in what the echoes of a scan lie outside what the model of that name has seen."""
        times = sorted(echo_times_ms)
        apart = [later - earlier for earlier, later in pairwise(times)]
        found = [
            (f"{len(times)} echoes", len(times), len(times), self.number),
            (f"echoes {min(apart):.4g} to {max(apart):.4g} ms apart", min(apart), max(apart), self.spacing_ms),
            (f"a last echo at {times[-1]:.4g} ms", times[-1], times[-1], self.last_ms),
            (f"{field_t:.4g} T", field_t, field_t, self.field_t),
        ]
        return [f"{said}, {name} has seen {seen[0]:.4g} to {seen[1]:.4g}"
                for said, least, most, seen in found if not seen[0] <= least <= most <= seen[1]]  # fmt: skip


class Uncertainty(_Part):
    """What says how large the errors of a model's images are: a head, weights of its own, and the bound it promises.

    In the share `level` of `n_scans` held-out scans the NMSE was at most `factor` times that which the head predicted.
    """

    channels: int
    parameters: int
    sha256: str
    trained_on: str
    steps: int
    seed: int
    date: datetime.date
    level: float = Field(gt=0, lt=1)
    factor: float = Field(gt=0)
    n_scans: int


class Earlier(_Part):
    """A training before this one, with whose weights it began: the model, and what its card said of its training."""

    name: str
    sha256: str
    supervision: str
    trained_on: str
    steps: int


class Card(_Part):
    """What a model is, what it was trained on and how, where it may be used, and how well it did.

    `supervision`, `trained_on` and `steps` are those of the last training, `pretrained` all before it, oldest first.
    `reliability`: by the name of a quantity, how far the scale of errors that is said of it may be trusted; that of
    `IMAGE` is the head's, which `uncertainty` describes.
    """

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
    warning: str | None = None  # why nobody should want it
    reliability: dict[str, Reliability] = {}
    uncertainty: Uncertainty | None = None
    echoes: EchoLimits | None = None  # of a model that maps them
    pretrained: tuple[Earlier, ...] = ()

    @property
    def label(self) -> str:
        """What an image says made it, for people: "k-band NAME" of a network trained on bands alone, else network,
        name, and how it was trained on what, one training after the other.
        """
        trainings = [*self.pretrained, self]
        untold = None if self.pretrained else BEGINS.search(self.recipe)  # the card of an earlier version
        if untold is None and all(training.supervision in BANDS for training in trainings):
            return f"k-band {self.name}"
        network = TITLES.get(self.network.name, self.network.name)
        taught = [_taught(training) for training in trainings]
        if untold is not None and self.supervision in BANDS:
            taught.insert(0, f"begun with {untold[1]}")
        return f"{network} {self.name}, {', then '.join(dict.fromkeys(taught))}"

    def as_earlier(self) -> tuple[Earlier, ...]:
        """What the card of a training that begins with this model tells of those before it."""
        told = {name: getattr(self, name) for name in Earlier.model_fields}
        return (*self.pretrained, Earlier(**told))

    def mismatch(
        self,
        *,
        matrix: tuple[int, int] | None = None,
        acceleration: float | None = None,
        acs_lines: int | None = None,
        sampling: Sampling | None = None,
        spacing: int | None = None,
        coils: int | None = None,
        snr: float | None = None,
        unmapped: float | None = None,
    ) -> list[str]:
        """List in what a scan lies outside what the model has seen; what is not given is not judged.

        `matrix` is (ky, kx), `acceleration` that of all lines over acquired lines; the others as in `Limits`.
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
        if None not in (spacing, seen.spacing) and spacing > seen.spacing:
            found.append(f"lines {spacing} apart outside the centre, {self.name} has seen {seen.spacing} at most")
        if None not in (coils, seen.coils) and not seen.coils[0] <= coils <= seen.coils[1]:
            found.append(f"coils: {coils}, {self.name} has seen {seen.coils[0]} to {seen.coils[1]}")
        if None not in (snr, seen.snr) and not snr >= seen.snr:
            found.append(f"SNR {snr:.1f}, {self.name} has seen {seen.snr:g} and more")
        if None not in (unmapped, seen.unmapped) and not unmapped <= seen.unmapped:
            lost = f"{100 * unmapped:.1f} % of the calibration where coil maps are zero"
            found.append(f"{lost}, {self.name} has seen {100 * seen.unmapped:g} % at most")
        return found


def _taught(training: Card | Earlier) -> str:
    """How, and on what."""
    how, material = TRAINED.get(training.supervision, training.supervision), training.trained_on.partition(" of ")[0]
    return f"{how} on {material}"


def read_card(path: Path) -> Card:
    """Read a card, whose file bears the model's name. Raises `ValueError` if it is none, or that of another model."""
    name = path.stem
    try:
        card = Card.model_validate(read_yaml(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise ValueError(f"model '{name}': {path.name} is no model card; {where}: {first['msg'].lower()}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"model '{name}': {path.name} cannot be read ({' '.join(str(error).split())})") from error
    if card.name != name:
        raise ValueError(f"model '{name}': {path.name} is the card of '{card.name}'")
    return card


def write_card(card: Card) -> bytes:
    """Return the card as it stands in a file."""
    unsaid = {name for name in LATER if not getattr(card, name)}
    return yaml.safe_dump(card.model_dump(mode="json", exclude=unsaid), sort_keys=False, allow_unicode=True).encode()
