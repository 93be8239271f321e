"""Anatomy above its error, method by method: what a table of figures cannot show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.figure import Figure

from pipelines.evaluation.evaluation import Judged, image_of
from pipelines.pictures.drawing import draw
from pipelines.pictures.orientation import Geometry
from pipelines.pictures.panel import QUIET, TEXT, Panel

MOST_IMAGES = 12


def error_maps(found: Sequence[Judged]) -> Figure:
    """Draw two rows for each image: the reference and all methods; below them, the sampling and all errors.

    White is, in the errors of an image, what the smallest ones, those of the method with the least NMSE, stay below in
    99.5 % of the pixels. Of more than 12 images, 12 evenly chosen.
    """
    images = [list(group) for _, group in groupby(sorted(found, key=image_of), key=image_of)]
    if len(images) > MOST_IMAGES:
        images = [images[n] for n in np.linspace(0, len(images) - 1, MOST_IMAGES).round().astype(int)]
    rows = [row for methods in images for row in _rows(methods)]
    return draw(rows, "reference and images; below, sampling and |error|, scaled to the best method of each image")


def _rows(methods: Sequence[Judged]) -> tuple[list[Panel], list[Panel]]:
    first = methods[0]
    truth = first.reference.abs().numpy()
    window = 0.0, float(np.percentile(truth, 99.5))
    geometry = Geometry.of(first.header)
    name = f"{first.file} · slice {first.slice}"
    above = [Panel(truth, window, ((name, TEXT), (f"all {first.sampling.of_all}", QUIET)), geometry)]
    below = [_sampling(first, truth.shape[-1])]
    errors = [np.abs(one.image.abs().numpy() - truth) for one in methods]
    white = _white(methods, errors)
    for one, error in zip(methods, errors, strict=True):
        figures = one.figures
        text = f"NMSE {figures['nmse']:.4f} · PSNR {figures['psnr']:.1f} dB · SSIM {figures['ssim']:.3f}"
        above.append(Panel(one.image.abs().numpy(), window, ((one.method, TEXT), (text, QUIET)), geometry))
        what = f"|{one.method} - all {one.sampling.of_all}|"
        label = (what, TEXT), (f"white: {white / window[1]:.1%} of the reference's", QUIET)
        below.append(Panel(error, (0.0, white), label, geometry))
    return above, below


def _white(methods: Sequence[Judged], errors: Sequence[np.ndarray]) -> float:
    """Return the 99.5th percentile of the error of the best method that has any."""
    of_method = [(one.figures["nmse"], float(np.percentile(error, 99.5)))
                 for one, error in zip(methods, errors, strict=True) if error.any()]  # fmt: skip
    return min(of_method, default=(0.0, 1.0))[1]


def _sampling(one: Judged, n_samples: int) -> Panel:
    """Show what was kept, ky down."""
    text, remark = one.sampling.told()
    return Panel(one.sampling.shown(n_samples), (0.0, 1.0), ((f"sampling: {text}", TEXT), (remark, QUIET)))
