"""What is told of one thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. *error*: nothing works before it is mended; *warning*: something will not."""

    level: Literal["ok", "warning", "error"]
    sentence: str
