"""BART's files: complex numbers with the first of sixteen axes the fastest, and a header of their lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np

N_AXES = 16
COIL, TIME, SLICE = 3, 10, 13  # after x, y and z; in the order of BART's README


def write_cfl(path: Path, array: np.ndarray, axes: tuple[int, ...]) -> None:
    """Write `path`.cfl and `path`.hdr; `axes`: which of BART's each axis of `array` is, the slowest first."""
    sizes = [1] * N_AXES
    for axis, length in zip(axes, array.shape, strict=True):
        sizes[axis] = length
    path.with_name(path.name + ".hdr").write_text(f"# Dimensions\n{' '.join(map(str, sizes))}\n")
    array.astype("<c8").tofile(path.with_name(path.name + ".cfl"))
