"""Anatomy above its error, method by method: what a table of figures cannot show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.figure import Figure

from pipelines.evaluation.evaluation import Judged, image_of
from pipelines.pictures.image_panel import DIFFERENCE_GAIN, QUIET, TEXT, Panel
from pipelines.pictures.montage import draw

MOST_IMAGES = 12


def error_maps(found: Sequence[Judged]) -> Figure:
    """Draw two rows for each image: the reference and all methods; below them, five-fold errors in the same window.

    Of more than 12 images, 12 evenly chosen.
    """
    images = [list(group) for _, group in groupby(sorted(found, key=image_of), key=image_of)]
    if len(images) > MOST_IMAGES:
        images = [images[n] for n in np.linspace(0, len(images) - 1, MOST_IMAGES).round().astype(int)]
    rows = [row for methods in images for row in _rows(methods)]
    return draw(rows, "reference, reconstructions, and |error| × 5 in the window of the reference")


def _rows(methods: Sequence[Judged]) -> tuple[list[Panel], list[Panel]]:
    first = methods[0]
    truth = first.reference.abs().numpy()
    window = 0.0, float(np.percentile(truth, 99.5))
    label = ((f"{first.file} · slice {first.slice}", TEXT), (f"all lines; below R = {first.acceleration:.2f}", QUIET))
    above = [Panel(truth, window, label, first.header)]
    below = [Panel(np.zeros_like(truth), window, (("", TEXT), ("", TEXT)), first.header)]
    for one in methods:
        image, figures = one.image.abs().numpy(), one.figures
        text = f"NMSE {figures['nmse']:.4f} · PSNR {figures['psnr']:.1f} dB · SSIM {figures['ssim']:.3f}"
        above.append(Panel(image, window, ((one.method, TEXT), (text, QUIET)), one.header))
        error = DIFFERENCE_GAIN * np.abs(image - truth)
        below.append(Panel(error, window, ((f"|{one.method} - all lines| × {DIFFERENCE_GAIN}", TEXT),), one.header))
    return above, below
