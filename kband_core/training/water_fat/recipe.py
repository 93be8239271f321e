"""What a network that maps water and fat is trained on: simulated scans of several echoes, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kband_core.networks.upnet import UPNet
from kband_core.training.recipe import NetworkRecipe, OptimiserRecipe
from kband_core.training.recipe_section import Coils, Factor, Number, Section, Side, Whole, WholeRecipe

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


class WaterFatRecipe(WholeRecipe):
    """One training of a network that maps water and fat."""

    kind: Literal["water_fat"]
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
