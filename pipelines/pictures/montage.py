"""Lay out MRD images for the eye: one labelled panel each, true to the pixel size, with the patient's sides named."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from gadgets.mrd import ismrmrd
from pipelines.pictures.image_panel import RED, TEXT, Panel, common_window, comparison_panels, image_panel

MOST_PANELS = 64
COMPARED_ABREAST = 6
BACKGROUND, MARKS = "#101214", "#ffe08a"
FONT_POINTS = 7.5
LINE_INCHES, CHARACTER_INCHES, BOLD_INCHES = 0.15, 0.057, 0.066  # of that font
GAP_INCHES, TITLE_INCHES = 0.12, 0.4
DPI = 150


def edge_letters(read_dir: Sequence[float], phase_dir: Sequence[float]) -> dict[str, str]:
    """Name the patient's sides at the four edges of an image: R, L, A, P, H or F.

    Columns increase along `read_dir`, rows along `phase_dir`, in LPS coordinates: x grows to the left, y to the
    back, z to the head. An oblique edge has its strongest direction first, then the second if its cosine exceeds
    0.4. Directions of zero, as in a header that lacks them, have no letters.
    """
    read, phase = np.asarray(read_dir, float), np.asarray(phase_dir, float)
    return {"left": _letters(-read), "right": _letters(read), "top": _letters(-phase), "bottom": _letters(phase)}


def montage(images: Sequence[ismrmrd.Image], title: str) -> Figure:
    """Draw one panel per image, slices in order; of more than 64 images, 64 evenly chosen."""
    chosen, title = _choose(sorted(images, key=_place), MOST_PANELS, title)
    series: dict[tuple[int, ...], list[ismrmrd.Image]] = {}
    for image in chosen:
        series.setdefault(_kind(image), []).append(image)
    windows = {each: common_window(of_series) for each, of_series in series.items()}
    panels = [image_panel(image, windows[_kind(image)]) for image in chosen]
    n_columns = int(np.ceil(np.sqrt(len(panels))))
    return draw(_rows(panels, n_columns), title)


def beside_references(images: Sequence[ismrmrd.Image], references: Sequence[ismrmrd.Image], title: str) -> Figure:
    """Draw rows of images, their references and five-fold differences; of more than 21 images, 21 evenly chosen.

    A reference belongs to all images of its slice; maps of quantities have none and are left out. Raises `ValueError`
    where an image has no reference, or none of its size.
    """
    images = [image for image in images if not image.meta.get("kband_quantity")]
    of_slice = {reference.slice: reference for reference in references}
    chosen, title = _choose(sorted(images, key=_place), MOST_PANELS // 3, title)
    for image in chosen:
        if image.slice not in of_slice:
            raise ValueError(f"slice {image.slice} has no reference; slices with one are {sorted(of_slice)}")
    columns = [comparison_panels(image, of_slice[image.slice]) for image in chosen]
    rows = [panels for block in _rows(columns, COMPARED_ABREAST) for panels in zip(*block, strict=True)]
    return draw(rows, title)


def _place(image: ismrmrd.Image) -> tuple[int, ...]:
    """Where an image stands among others: series, type, repetition, contrast; then slice."""
    return image.image_series_index, image.image_type, image.repetition, image.contrast, image.slice


def _kind(image: ismrmrd.Image) -> tuple[int, ...]:
    """What images have in common that are compared by eye: series, type and contrast."""
    return image.image_series_index, image.image_type, image.contrast


def _letters(direction: np.ndarray) -> str:
    letters = ""
    for axis in np.argsort(-np.abs(direction), kind="stable")[:2]:
        if abs(direction[axis]) > 0.4:
            letters += "LPH"[axis] if direction[axis] > 0 else "RAF"[axis]
    return letters


def _choose(images: Sequence[ismrmrd.Image], most: int, title: str) -> tuple[list[ismrmrd.Image], str]:
    if len(images) <= most:
        return list(images), title
    chosen = np.linspace(0, len(images) - 1, most).round().astype(int)
    return [images[n] for n in chosen], f"{title} · {most} of {len(images)} images, evenly chosen"


def _rows(items: Sequence, n_columns: int) -> list[Sequence]:
    return [items[n : n + n_columns] for n in range(0, len(items), n_columns)]


def draw(rows: Sequence[Sequence[Panel]], title: str) -> Figure:
    """Draw rows of panels below a title, each with its text above it."""
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
    axes.imshow(panel.pixels, cmap=panel.cmap, vmin=black, vmax=white, extent=(0, fov_x, fov_y, 0), aspect="equal")
    if any(colour == RED for _, colour in panel.label):
        axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=RED, linewidth=3))
    marks = {"color": MARKS, "transform": axes.transAxes, "path_effects": [withStroke(linewidth=2, foreground="black")]}
    letters = edge_letters(panel.header.read_dir, panel.header.phase_dir)
    places = {"left": (0.02, 0.5), "right": (0.98, 0.5), "top": (0.5, 0.98), "bottom": (0.5, 0.02)}
    for edge, (x, y) in places.items():
        horizontal = edge if edge in ("left", "right") else "center"
        vertical = edge if edge in ("top", "bottom") else "center"
        axes.text(x, y, letters[edge], ha=horizontal, va=vertical, fontsize=10, weight="bold", **marks)
    if panel.header.field_of_view[0] > 0:
        bar_mm = 50 if fov_x > 120 else 10
        start, height = 0.03 * fov_x, 0.97 * fov_y
        axes.plot([start, start + bar_mm], [height, height], color=MARKS, linewidth=2, solid_capstyle="butt",
                  path_effects=marks["path_effects"])
        axes.text(0.03, 0.045, f"{bar_mm} mm", ha="left", va="bottom", fontsize=FONT_POINTS, **marks)


def _fov(panel: Panel) -> tuple[float, float]:
    """Field of view (x, y) in mm; without one in the header, pixels are taken as square."""
    x, y, _ = panel.header.field_of_view
    n_y, n_x = panel.pixels.shape
    return (x, y) if x > 0 and y > 0 else (float(n_x), float(n_y))
