"""What a GPU is asked, one question a file, in the order in which the answers are worth having."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

from gpu_parts.here import Here
from gpu_parts.row import Row


@dataclass(frozen=True)
class Part:
    """A question: the function `name` of the module `gpu_parts.module`, which yields rows within `seconds`.

    It is imported where it runs: a package that it lacks costs its rows alone.
    """

    module: str
    name: str
    seconds: float

    def rows(self, here: Here) -> Iterator[Row]:
        """Answer it."""
        ask: Callable[[Here], Iterator[Row]] = getattr(import_module(f"gpu_parts.{self.module}"), self.name)
        yield from ask(here)


PARTS = (
    Part("equality", "equal_pixels", 90),
    Part("networks", "published_size", 60),
    Part("networks", "small_size", 60),
    Part("chains", "last_line_to_image", 90),
    Part("own_tests", "own_tests", 90),
    Part("methods", "raki", 60),
    Part("methods", "gfactor", 60),
    Part("methods", "espirit", 30),
    Part("methods", "radial", 30),
    Part("methods", "along_spokes", 30),
    Part("networks", "training_step", 90),
    Part("fed", "training_fed", 75),
    Part("networks", "large_training_step", 60),
    Part("shortcuts", "cuda_graph", 40),
    Part("shortcuts", "compiled", 60),
)
