"""Images of one scan by several methods, above their errors: whether a network invents, or hides, anatomy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

GAIN = 5


@dataclass(frozen=True)
class Shown:
    """A scan, its reference magnitude `(y, x)`, and images by method on the same scale."""

    label: str
    reference: Tensor
    images: Mapping[str, Tensor]


def draw(scans: Sequence[Shown]) -> Figure:
    """Two rows a scan: the images, and the magnitude of their errors times 5 in the same grey scale."""
    n_columns = 1 + max(len(scan.images) for scan in scans)
    figure = Figure(figsize=(4 * n_columns, 7.5 * len(scans)), layout="constrained")
    axes = figure.subplots(2 * len(scans), n_columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, scan in enumerate(scans):
        white = float(scan.reference.flatten().quantile(0.995))
        above, below = axes[2 * row], axes[2 * row + 1]
        above[0].imshow(scan.reference, cmap="gray", vmin=0, vmax=white)
        above[0].set_title(f"{scan.label}\nall lines")
        for column, (method, image) in enumerate(scan.images.items(), start=1):
            above[column].imshow(image, cmap="gray", vmin=0, vmax=white)
            above[column].set_title(method)
            below[column].imshow(GAIN * (image - scan.reference).abs(), cmap="gray", vmin=0, vmax=white)
            below[column].set_title(f"error × {GAIN}")
    return figure
