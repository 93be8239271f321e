"""The figures of one image of one method, as a table has them: plain values, without the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.evaluation.evaluation import Judged


@dataclass(frozen=True)
class Scored:
    """Which image, what made it of how many lines, and how far it is from that of all lines."""

    file: str
    slice: int
    contrast: int
    repetition: int
    partition: int
    method: str
    acceleration: float
    figures: Mapping[str, float]

    @classmethod
    def of(cls, one: Judged) -> Scored:
        """What is left of a judged image without its pixels."""
        return cls(**{name: getattr(one, name) for name in cls.__dataclass_fields__})
