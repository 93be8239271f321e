"""A picture ready to be drawn: pixels, window, lines of text."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipelines.pictures.orientation import NOT_A_PLANE, Geometry, radiological

TEXT, QUIET, AMBER, RED = "#f0f0f0", "#a8aeb4", "#ffc04d", "#ff5a52"


@dataclass(frozen=True)
class Panel:
    """Pixels `(y, x)`, the values of black and white, lines of text with their colours.

    `scale`: what the colours measure, with its unit, where they are those of a map; then a colour bar is drawn.
    """

    pixels: np.ndarray
    window: tuple[float, float]
    label: tuple[tuple[str, str], ...]
    geometry: Geometry = NOT_A_PLANE
    cmap: str = "gray"
    scale: str = ""

    def radiological(self) -> Panel:
        """Return it turned to how a radiologist reads it."""
        pixels, geometry = radiological(self.pixels, self.geometry)
        return replace(self, pixels=pixels, geometry=geometry)


def absent(like: Panel, text: str) -> Panel:
    """An empty place beside `like`, and why it is empty."""
    return Panel(np.full(like.pixels.shape, np.nan), like.window, ((text, AMBER),))
