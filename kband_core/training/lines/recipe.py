"""What to train a line evaluator on, and how: a YAML file of the kind `line_evaluator`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kband_core.training.recipe_section import Number, Side, Whole, WholeRecipe


class LinesRecipe(WholeRecipe):
    """One training of a line evaluator on simulated scans.

    `matrix`: numbers of lines of the scans, in turn. `scans` are those of all sizes, of which one in six tells the
    margins and is not trained on. `rounds`: in the first one lines are chosen by their true error, more or less; in
    each that follows, by the evaluator of the one before. `steps` are those of each round.
    """

    kind: Literal["line_evaluator"]
    matrix: Annotated[tuple[Side, ...], Field(min_length=1)] = (64, 96, 128)
    acs_lines: Annotated[int, Field(ge=1, le=512)] = 8
    scans: Number = 720
    rounds: Annotated[int, Field(ge=1, le=16)] = 2
    steps: Annotated[Whole, Field(le=10**7)] = 3000
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 3e-3
    width: Annotated[int, Field(ge=1, le=1024)] = 40
    seed: Annotated[int, Field(ge=0, lt=2**43)] = 0  # times 2²⁰, beside a scan's number, it is the seed of a scan

    @model_validator(mode="after")
    def _lines_to_choose(self) -> LinesRecipe:
        if self.scans < 6 * len(self.matrix):
            raise ValueError(f"{self.scans} scans, at least 6 of each of {len(self.matrix)} sizes")
        if min(self.matrix) < 4 * self.acs_lines:
            raise ValueError(f"{min(self.matrix)} lines, at least 4 times the calibration lines")
        return self
