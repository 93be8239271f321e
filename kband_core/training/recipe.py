"""What to train, on what, and how: a YAML file without room for typing errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import ConfigDict, Field, model_validator
from torch import nn

from kband_core import networks
from kband_core.plain_yaml import read_yaml
from kband_core.training.recipe_section import Coils, Factor, Number, Section, Side, Whole, WholeRecipe, checked
from kband_core.training.shipped_recipes import shipped_recipes
from kband_core.training.simulation.random_objects import Objects
from kband_core.training.supervision import Supervision, build_supervision, full_extent


class NetworkRecipe(Section):
    """A network of `kband_core.networks` by name, and its settings, which the network checks."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @model_validator(mode="after")
    def _can_be_built(self) -> NetworkRecipe:
        with torch.device("meta"):  # no memory, no random numbers
            self.build()
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """All but the name."""
        return dict(self.model_extra)

    def build(self) -> nn.Module:
        """Build the network with random weights. Raises `ValueError` for a setting it does not know."""
        try:
            return networks.build(self.name, **self.settings)
        except TypeError as error:
            raise ValueError(f"network {self.name}: a setting is of the wrong kind ({error})") from error


class SupervisionRecipe(Section):
    """A supervision of `kband_core.training.supervision` by name, and its options, which the supervision checks."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @model_validator(mode="after")
    def _can_be_built(self) -> SupervisionRecipe:
        try:
            self.build()
        except TypeError as error:
            raise ValueError(f"an option is of the wrong kind ({error})") from error
        return self

    def build(self) -> Supervision:
        """Make what turns planes into examples. Raises `ValueError` for an option it does not know."""
        options = {key: tuple(value) if isinstance(value, list) else value for key, value in self.model_extra.items()}
        return build_supervision(self.name, **options)

    def full_extent(self) -> Supervision:
        """Make the supervision by all samples that draws its lines in the same way: what images are judged on."""
        return full_extent(self.build())


class ProceduralRecipe(Section):
    """Simulated scans of random objects: `matrix` and `coils` from low to high; `n_scans` null: they never end.

    Of the sides in `matrix` those are drawn that transform quickly, if any. `objects`: `cartoon`, flat tissues with
    sharp borders; `textured`, with detail at every scale; `both`, a third of them cartoons; `anatomy`, slices of real
    heads, which other packages carry; `mixed`, these and textured ones, as often. A finite number of scans is kept in
    memory. Of endless ones each is met `uses` times, with other lines. `trajectory`: that of a grid, or `radial` or
    `spiral`, as many spokes or interleaves as Nyquist asks for.
    """

    matrix: tuple[Side, Side] = (96, 160)
    coils: tuple[Coils, Coils] = (4, 16)
    objects: Objects = "textured"
    trajectory: Literal["cartesian", "radial", "spiral"] = "cartesian"
    n_scans: Annotated[int, Field(ge=2, le=65536)] | None = None
    uses: Whole = 1


class DataRecipe(Section):
    """Planes of a file, of which the `held_out` fraction of the subjects validates, or procedural ones."""

    planes: Path | None = None
    procedural: ProceduralRecipe | None = None
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2

    @model_validator(mode="after")
    def _one_source(self) -> DataRecipe:
        if self.planes and self.procedural:
            raise ValueError("planes of a file and procedural ones are both given; one of them expected")
        return self


class OptimiserRecipe(Section):
    """Adam. `batch` counts the examples of a step over all processes; `clip` 0 does not clip gradients."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    steps: Whole | None = None
    epochs: Whole | None = None
    batch: Number = 1
    schedule: Literal["onecycle", "step", "constant"] = "onecycle"
    drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5,)
    clip: Annotated[float, Field(ge=0)] = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999

    @model_validator(mode="after")
    def _one_length(self) -> OptimiserRecipe:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("either steps or epochs expected")
        return self


class ValidationRecipe(Section):
    """Validate after `every` so many steps on `planes` planes."""

    every: Whole = 1000
    planes: Number = 16


class LimitsRecipe(Section):
    """Where the model may be used, as far as that differs from what it was trained on."""

    acceleration: tuple[Factor, Factor] | None = None
    matrix: tuple[Side, Side] | None = None
    acs_lines: Side | None = None
    coils: tuple[Coils, Coils] | None = None


class Recipe(WholeRecipe):
    """One training of a network that makes images.

    `pretrained` names the model of the registry whose weights it begins with; without, they are random. Of an unrolled
    one `pretrained_unrolls` may choose some, from 0 on: a shorter network begins with these. The weights that it
    begins with and those it comes to may be averaged, `pretrained_share` of the first: so it is validated and written.
    """

    pretrained: str | None = None
    pretrained_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    pretrained_unrolls: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] | None = None
    network: NetworkRecipe
    supervision: SupervisionRecipe
    data: DataRecipe = DataRecipe()
    optimiser: OptimiserRecipe
    validation: ValidationRecipe = ValidationRecipe()
    limits: LimitsRecipe = LimitsRecipe()
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        given = [name for name in ("pretrained_unrolls", "pretrained_share") if getattr(self, name)]
        if given and self.pretrained is None:
            raise ValueError(f"{' and '.join(given)} given, but no pretrained model")
        if self.optimiser.epochs and self.data.procedural and self.data.procedural.n_scans is None:
            raise ValueError("epochs of procedural scans without n_scans never end; give steps or n_scans")
        return self


def read_recipe(recipe: Path | str) -> Recipe:
    """Read a YAML file, or the shipped recipe of that name. Raises `ValueError`, one sentence."""
    return parse_recipe(*recipe_content(recipe))


def recipe_content(recipe: Path | str) -> tuple[Any, str]:
    """Return what stands in a YAML file, or in the shipped recipe of that name, and its name. Raises `ValueError`."""
    path = Path(recipe)
    if not path.is_file():
        shipped = shipped_recipes()
        if str(recipe) not in shipped:
            raise ValueError(f"recipe: no file and no shipped recipe '{recipe}'; shipped are {', '.join(shipped)}")
        path = shipped[str(recipe)]
    try:
        return read_yaml(path.read_bytes()), path.name
    except ValueError as error:
        raise ValueError(f"recipe {path.name}: {error}") from error


def parse_recipe(content: Any, name: str) -> Recipe:
    """Check the content of a recipe. Raises `ValueError`: one sentence with the key that is wrong."""
    return checked(Recipe, content, name)
