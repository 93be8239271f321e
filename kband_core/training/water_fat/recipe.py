"""What a network that maps water and fat is trained on: simulated scans of several echoes, and how."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from kband_core.networks.upnet import UPNet
from kband_core.training.recipe import (
    Coils,
    Factor,
    NetworkRecipe,
    Number,
    OptimiserRecipe,
    Section,
    Side,
    Whole,
    checked,
)

Noise = Annotated[float, Field(gt=0, le=1)]


class EchoScansRecipe(Section):
    """`n_scans` simulated scans of `matrix` pixels each way, drawn once; the others from low to high.

    `noise` is the SD of a coil's samples over the brightness of the body.
    """

    matrix: Annotated[int, Field(ge=16, le=512)] = 64
    n_scans: Number = 640
    echoes: tuple[Annotated[int, Field(ge=3, le=64)], Annotated[int, Field(ge=3, le=64)]] = (3, 8)
    coils: tuple[Coils, Coils] = (4, 10)
    acceleration: tuple[Factor, Factor] = (1.0, 5.0)
    noise: tuple[Noise, Noise] = (0.003, 0.05)


class JudgedRecipe(Section):
    """Validate after `every` so many steps on `scans` others; `calibration` more tell how far σ may be trusted, in
    `bins` of it.
    """

    every: Whole = 200
    scans: Number = 40
    calibration: Number = 96
    bins: Annotated[int, Field(ge=2, le=64)] = 8


class SeenRecipe(Section):
    """The smallest and largest side of images that the model may be used for."""

    matrix: tuple[Side, Side] = (48, 384)


class WaterFatRecipe(Section):
    """One training, whole. The same recipe on the same machine gives the same weights."""

    kind: Literal["water_fat"]
    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    description: str = ""
    network: NetworkRecipe
    scans: EchoScansRecipe = EchoScansRecipe()
    optimiser: OptimiserRecipe
    validation: JudgedRecipe = JudgedRecipe()
    limits: SeenRecipe = SeenRecipe()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="after")
    def _maps_by_steps(self) -> WaterFatRecipe:
        if self.network.name != "upnet":
            raise ValueError(f"network {self.network.name} makes images; upnet maps water and fat")
        if self.optimiser.steps is None:
            raise ValueError("optimiser.steps expected: epochs are not counted here")
        return self

    def build(self) -> UPNet:
        """Build the network with random weights."""
        return self.network.build()

    def text(self) -> str:
        """Write it as YAML, defaults included: they may change."""
        return yaml.safe_dump(self.model_dump(mode="json", exclude_none=True), sort_keys=False)

    def changed(self, section: str | None = None, **values: Any) -> WaterFatRecipe:
        """Return a copy with other values in a section, or in the recipe itself. Raises `ValueError`."""
        whole = self.model_dump(mode="json")
        changes = values if section is None else {section: {**whole[section], **values}}
        return checked(WaterFatRecipe, {**whole, **changes}, self.name)
