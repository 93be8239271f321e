"""What to train a line evaluator on, and how: a YAML file of the kind `line_evaluator`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from kband_core.plain_yaml import read_yaml

KIND = "line_evaluator"
MOST = {"scans": 65536, "steps": 10**7, "width": 1024, "rounds": 16, "acs_lines": 512, "seed": 2**63 - 1}


@dataclass(frozen=True)
class EvaluatorRecipe:
    """One training of a line evaluator on simulated scans.

    `matrix`: numbers of lines of the scans, in turn. `scans` are those of all sizes, of which one in six tells the
    margins and is not trained on. `rounds`: in the first one lines are chosen by their true error, more or less; in
    each that follows, by the evaluator of the one before.
    """

    name: str
    description: str = ""
    matrix: tuple[int, ...] = (64, 96, 128)
    acs_lines: int = 8
    scans: int = 720
    rounds: int = 2
    steps: int = 3000  # of each round
    learning_rate: float = 3e-3
    width: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        for key, most in MOST.items():
            value = getattr(self, key)
            if not isinstance(value, int) or not (key == "seed" or value >= 1) or not 0 <= value <= most:
                raise ValueError(f"recipe {self.name}: {key} is {value!r}, a whole number up to {most:,} expected")
        if self.scans < 6 * len(self.matrix):
            raise ValueError(f"recipe {self.name}: {self.scans} scans, at least 6 of each of {len(self.matrix)} sizes")
        if min(self.matrix) < 4 * self.acs_lines:
            raise ValueError(f"recipe {self.name}: {min(self.matrix)} lines, at least 4 times the calibration lines")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"recipe {self.name}: learning_rate is {self.learning_rate!r}, 0 to 1 expected")


def evaluator_recipes() -> dict[str, Path]:
    """Name → YAML of every recipe of this kind that ships."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml"))}


def read_evaluator_recipe(recipe: str) -> EvaluatorRecipe | None:
    """Read a YAML file, or the shipped recipe of that name; None if it is of another kind. Raises `ValueError`."""
    path = Path(recipe)
    path = path if path.is_file() else evaluator_recipes().get(recipe)
    if path is None:
        return None
    try:
        content = read_yaml(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"recipe {path.name}: {error}") from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        return None
    known = {field.name for field in dataclasses.fields(EvaluatorRecipe)}
    content = {key: value for key, value in content.items() if key != "kind"}
    if unknown := sorted(content.keys() - known):
        raise ValueError(f"recipe {path.name}: unknown key '{unknown[0]}'; known are {', '.join(sorted(known))}")
    try:
        return EvaluatorRecipe(**{**content, **({"matrix": tuple(content["matrix"])} if "matrix" in content else {})})
    except TypeError as error:
        raise ValueError(f"recipe {path.name}: {error}") from error
