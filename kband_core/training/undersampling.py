"""Which samples a simulated scan acquires, drawn anew for every example."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, get_args

import torch

from kband_core.patterns import equispaced_lines, poisson_disc, variable_density_lines
from kband_core.plural import counted
from kband_core.sampling import Grid

ROUNDING = 1e-9  # n over n / 15.5 may come out below 15.5, and be rounded to 15 lines for 16
Sampling = Literal["lines", "equispaced", "mixed", "poisson", "any"]
PATTERNS = {"mixed": ("lines", "equispaced"), "any": ("lines", "equispaced", "poisson")}  # of those that draw several


@dataclass(frozen=True, kw_only=True)
class Undersampling:
    """Draw sampling masks: `line_acceleration` and `acs_lines` are numbers, or (low, high) to draw uniformly from.

    `sampling`: variable-density `lines`, `equispaced` lines (the acceleration is rounded, ACS lines come on top),
    `mixed`, which is either, a 2-D `poisson` disc with a square of `acs_lines`, or `any` of these three. Of a range of
    ACS lines, only what the acceleration leaves room for is drawn. Raises `ValueError` for what cannot be drawn, be it
    for want of SigPy.
    """

    line_acceleration: float | Sequence[float] = 4.0
    acs_lines: int | Sequence[int] = 24
    sampling: Sampling = "lines"

    def __post_init__(self) -> None:
        check_range("line_acceleration", self.accelerations)
        check_range("acs_lines", self.acs_numbers)
        if self.sampling not in get_args(Sampling):
            raise ValueError(f"sampling: '{self.sampling}' is not one of {', '.join(get_args(Sampling))}")
        if "poisson" in self.patterns and find_spec("sigpy") is None:
            raise ValueError("sampling: SigPy draws 'poisson' and is missing; pip install kband[train]")

    @property
    def patterns(self) -> tuple[str, ...]:
        """What is drawn: one pattern, or several in turn."""
        return PATTERNS.get(self.sampling, (self.sampling,))

    @property
    def accelerations(self) -> tuple[float, float]:
        """The lowest and the highest acceleration that is drawn."""
        return ends(self.line_acceleration)

    @property
    def acs_numbers(self) -> tuple[int, int]:
        """The fewest and the most ACS lines that are drawn."""
        return ends(self.acs_lines)

    def draw(self, shape: tuple[int, int], rng: torch.Generator) -> Grid:
        """Draw what is acquired of k-space of `shape`: lines, or samples of a Poisson disc.

        An acceleration that leaves no room for the fewest ACS lines is lowered to the highest that does; `ValueError`
        where none of the range does.
        """
        low, high = self.accelerations
        acceleration = low + (high - low) * torch.rand((), dtype=torch.float64, generator=rng).item()
        pattern = self.patterns[0]
        if len(self.patterns) > 1:
            pattern = self.patterns[torch.randint(len(self.patterns), (), generator=rng)]
        fewest, most = self.acs_numbers
        if pattern != "equispaced":  # where ACS lines come on top
            acceleration = max(low, min(acceleration, self._highest(shape, pattern)))
        room = math.sqrt(math.prod(shape) / acceleration) if pattern == "poisson" else shape[0] / acceleration
        most = max(fewest, min(most, math.floor(room)))  # too many for k-space: the pattern below says so itself
        acs = int(torch.randint(fewest, most + 1, (), generator=rng))
        if pattern == "poisson":
            return poisson_disc(shape, acceleration, acs=(acs, acs), rng=rng)
        if pattern == "lines":
            return variable_density_lines(shape[0], acceleration, acs_lines=acs, rng=rng)
        step = round(acceleration)
        offset = int(torch.randint(step, (), generator=rng))
        return equispaced_lines(shape[0], step, acs_lines=acs, offset=offset)


    def require_room(self, shape: tuple[int, int]) -> None:
        """Raise `ValueError` if there is no room in k-space of `shape` for the fewest ACS lines at the lowest
        acceleration, so that no draw could succeed."""
        fewest, low = self.acs_numbers[0], self.accelerations[0]
        pattern = self.patterns[0]  # of several the lines, which have least room
        if fewest > shape[0] or (pattern != "equispaced" and low > self._highest(shape, pattern)):
            raise ValueError(
                f"undersampling: {counted(fewest, 'ACS line')} at acceleration {low:g} have no room in k-space of "
                f"{shape[0]} x {shape[1]}; fewer ACS lines or a lower acceleration needed"
            )

    def _highest(self, shape: tuple[int, int], pattern: str) -> float:
        """The highest acceleration that leaves room for the fewest ACS lines."""
        fewest = self.acs_numbers[0]
        n_acs, n_all = (fewest**2, math.prod(shape)) if pattern == "poisson" else (fewest - 0.5, shape[0])
        return (1 - ROUNDING) * n_all / n_acs


def ends(value: float | Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest of a number or a range."""
    return (value[0], value[-1]) if isinstance(value, Sequence) else (value, value)


def check_range(name: str, ends: tuple[float, float]) -> None:
    """Raise `ValueError` unless an option rises from at least 1."""
    low, high = ends
    if not 1 <= low <= high:
        raise ValueError(f"{name}: {low:g} to {high:g}, but at least 1 and a rising range needed")
