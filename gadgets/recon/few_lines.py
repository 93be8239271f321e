"""What is said of an image whose kernel few calibration lines have taught."""

from __future__ import annotations

from collections.abc import Callable

from gadgets.items import ReconBuffer
from gadgets.recon.combined import noise_of
from kband_core.few_lines import n_window_rows, outer_misfit
from kband_core.grappa import GrappaKernel
from kband_core.plural import counted

FEW = 10  # rows of windows; more have taught enough: nothing is asked
# Of the energy of lines beyond: heads have 0.105 and an image's error of 0.017 at R=3 with 9 lines, 0.09 and 0.004 at
# R=2 with 6.
MISSED = 0.1


def told_of_few_lines(
    buffer: ReconBuffer, size: tuple[int, int], kernel: Callable[[], GrappaKernel]
) -> dict[str, str]:
    """Say of a single image that its kernel, which few calibration lines have taught, is wrong beyond them.

    To its meta, and to its comment: what the kernel makes contradicts measured lines. `kernel` of `size` (lines,
    samples) is asked for only if they are few.
    """
    acceleration, n_lines = buffer.encoding.acceleration[0], buffer.acs.shape[-2]
    if acceleration == 1 or n_window_rows(n_lines, acceleration, size) >= FEW:
        return {}
    kspace, sampling = buffer.planes()
    middle, first = len(kspace) // 2, buffer.acs_row
    calibrating = slice(0, 0) if first is None else slice(first, first + n_lines)
    lines = f"{counted(n_lines, 'calibration line')} at R={acceleration}"
    ends = sampling.uniform_ends("few lines", acceleration)
    try:
        white = kspace[middle] / noise_of(buffer)
        missed = outer_misfit(GrappaKernel(kernel().weights[middle]), white, *ends, calibrating)
    except ValueError:
        return {"ImageComments": f"{lines}: nothing tells their error"}
    if missed < MISSED:
        return {}
    said = f"{lines}: their kernel misses {missed:.0%} of the lines beyond"
    return {"kband_consistency": said, "ImageComments": f"INCONSISTENT: {said}"}
