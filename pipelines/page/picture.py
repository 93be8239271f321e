"""An MRD image as a small PNG, and what stands beside it: words and their colours, the patient's sides, its shape."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image

from pipelines.pictures.image_panel import image_panel
from pipelines.pictures.orientation import edge_letters
from pipelines.pictures.panel import AMBER, QUIET, RED, Panel
from pipelines.protocol.framing import Message
from pipelines.protocol.messages import decode_image

LARGEST = 384  # pixels
KINDS = {RED: "bad", AMBER: "unsure", QUIET: "quiet"}


def picture(message: Message, protocol: str = "") -> tuple[dict[str, Any], bytes]:
    """Return what is said of an image, and its PNG, turned to how a radiologist reads it.

    Raises `ScanError` or `ValueError` for what is no image.
    """
    panel = image_panel(decode_image(message), protocol=protocol).radiological()
    height, width = panel.pixels.shape
    x, y = panel.geometry.fov or (width, height)
    about = {
        "label": [(text, KINDS.get(colour, "")) for text, colour in panel.label if text],
        "letters": edge_letters(panel.geometry),
        "shape": x / y,
    }
    return about, _png(panel)


def _png(panel: Panel) -> bytes:
    black, white = panel.window
    grey = (panel.pixels.astype(np.float64) - black) / max(white - black, np.finfo(float).tiny)
    shown = np.nan_to_num(np.clip(grey, 0.0, 1.0))
    if panel.cmap == "gray":
        image = Image.fromarray((255 * shown).round().astype(np.uint8))
    else:
        image = Image.fromarray(colormaps[panel.cmap](np.where(np.isfinite(grey), shown, np.nan), bytes=True)[..., :3])
    image.thumbnail((LARGEST, LARGEST))
    stored = io.BytesIO()
    image.save(stored, "PNG")
    return stored.getvalue()
