"""Draw labelled panels in rows, true to the pixel size, with the patient's sides named."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from pipelines.pictures.orientation import edge_letters
from pipelines.pictures.panel import RED, TEXT, Panel

BACKGROUND, MARKS = "#101214", "#ffe08a"
FONT_POINTS = 7.5
LINE_INCHES, CHARACTER_INCHES, BOLD_INCHES = 0.15, 0.057, 0.066  # of that font
GAP_INCHES, TITLE_INCHES = 0.12, 0.4
DPI = 150
STROKE = [withStroke(linewidth=2, foreground="black")]


def draw(rows: Sequence[Sequence[Panel]], title: str, *, as_stored: bool = False) -> Figure:
    """Draw rows of panels below a title, each with its text above it, as a radiologist reads them or as stored."""
    if not as_stored:
        rows = [[panel.radiological() for panel in row] for row in rows]
    n_columns = max(map(len, rows))
    width = float(np.clip(15 / n_columns, 2.4, 4.2))
    texts = [[_wrapped(panel, width) for panel in row] for row in rows]
    text_heights = [LINE_INCHES * max(map(len, row)) + 0.05 for row in texts]
    image_heights = [width * max(_fov(panel)[1] / _fov(panel)[0] for panel in row) for row in rows]
    figure_width = n_columns * (width + GAP_INCHES) + GAP_INCHES
    figure_height = TITLE_INCHES + sum(text_heights) + sum(image_heights) + len(rows) * GAP_INCHES
    figure = Figure(figsize=(figure_width, figure_height), dpi=DPI, facecolor=BACKGROUND)
    title_lines = textwrap.wrap(title, int(figure_width / BOLD_INCHES / 1.2), max_lines=2, placeholder=" …")
    figure.text(GAP_INCHES / figure_width, 1 - 0.06 / figure_height, "\n".join(title_lines), color=TEXT,
                fontsize=FONT_POINTS * 1.2, va="top", weight="bold")
    top = figure_height - TITLE_INCHES
    for row, row_texts, text_height, image_height in zip(rows, texts, text_heights, image_heights, strict=True):
        for column, (panel, lines) in enumerate(zip(row, row_texts, strict=True)):
            left = GAP_INCHES + column * (width + GAP_INCHES)
            for n, (line, colour) in enumerate(lines):
                y = top - n * LINE_INCHES
                figure.text(left / figure_width, y / figure_height, line, color=colour, fontsize=FONT_POINTS, va="top",
                            weight="bold" if colour == RED else "normal")
            bottom = top - text_height - image_height
            box = left / figure_width, bottom / figure_height, width / figure_width, image_height / figure_height
            _draw_panel(figure.add_axes(box, anchor="N"), panel)
        top -= text_height + image_height + GAP_INCHES
    return figure


def _wrapped(panel: Panel, width: float) -> list[tuple[str, str]]:
    lines = []
    for text, colour in panel.label:
        n_characters = int(width / (BOLD_INCHES if colour == RED else CHARACTER_INCHES))
        lines += [(line, colour) for line in textwrap.wrap(text, n_characters, max_lines=3, placeholder=" …")]
    return lines


def _draw_panel(axes: Axes, panel: Panel) -> None:
    fov_x, fov_y = _fov(panel)
    black, white = panel.window
    axes.set_axis_off()
    extent = (0, fov_x, fov_y, 0)
    shown = axes.imshow(panel.pixels, cmap=panel.cmap, vmin=black, vmax=white, extent=extent, aspect="equal")
    if any(colour == RED for _, colour in panel.label):
        axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=RED, linewidth=3))
    marks = {"color": MARKS, "transform": axes.transAxes, "path_effects": STROKE}
    letters = edge_letters(panel.geometry)
    places = {"left": (0.02, 0.5), "right": (0.98, 0.5), "top": (0.5, 0.98), "bottom": (0.5, 0.02)}
    for edge, (x, y) in places.items():
        horizontal = edge if edge in ("left", "right") else "center"
        vertical = edge if edge in ("top", "bottom") else "center"
        axes.text(x, y, letters[edge], ha=horizontal, va=vertical, fontsize=10, weight="bold", **marks)
    if panel.geometry.fov is not None:
        bar_mm = 50 if fov_x > 120 else 10
        start, height = 0.03 * fov_x, 0.97 * fov_y
        axes.plot([start, start + bar_mm], [height, height], color=MARKS, linewidth=2, solid_capstyle="butt",
                  path_effects=STROKE)
        axes.text(0.03, 0.045, f"{bar_mm} mm", ha="left", va="bottom", fontsize=FONT_POINTS, **marks)
    if panel.scale:
        _draw_scale(axes, shown, panel.scale)


def _draw_scale(axes: Axes, shown: AxesImage, scale: str) -> None:
    """Draw the colour bar of a map into its upper right corner."""
    bar = axes.inset_axes((0.93, 0.6, 0.03, 0.3))
    axes.figure.colorbar(shown, cax=bar, ticks=MaxNLocator(4))
    bar.yaxis.set_ticks_position("left")
    bar.tick_params(colors=MARKS, labelsize=FONT_POINTS, length=2)
    for text in bar.get_yticklabels():
        text.set_path_effects(STROKE)
    axes.text(0.97, 0.98, scale, ha="right", va="top", fontsize=FONT_POINTS, color=MARKS, transform=axes.transAxes,
              path_effects=STROKE)


def _fov(panel: Panel) -> tuple[float, float]:
    """Field of view (x, y) in mm; without one, pixels are taken as square."""
    n_y, n_x = panel.pixels.shape
    return panel.geometry.fov or (float(n_x), float(n_y))
