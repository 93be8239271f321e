"""What is said of an image whose kernel few calibration lines have taught."""

from __future__ import annotations

from gadgets.items import ReconBuffer
from gadgets.recon.combined import noise_of
from kband_core.few_lines import held_out_misfit, n_window_rows
from kband_core.plural import counted

FEW = 8  # rows of windows; more have taught enough: nothing is asked
MISSED = 0.05  # of held-out lines: heads have 0.03 and an error of 4 % at R=3 with 7 lines, 0.08 and 7 % with 6


def told_of_few_lines(buffer: ReconBuffer, kernel: tuple[int, int]) -> dict[str, str]:
    """Say in the comment of a single image that calibration lines are too few for a kernel (lines, samples)."""
    acceleration, n_lines = buffer.encoding.acceleration[0], buffer.acs.shape[-2]
    n_rows = n_window_rows(n_lines, acceleration, kernel)
    if acceleration == 1 or n_rows >= FEW:
        return {}
    lines = counted(n_lines, "calibration line")
    if n_rows < 2:
        return {"ImageComments": f"{lines} at R={acceleration}, all in the fit of the kernel: nothing tells its error"}
    acs = buffer.acs[0, buffer.acs.shape[1] // 2] / noise_of(buffer)
    missed = held_out_misfit(acs, acceleration, kernel)
    if missed < MISSED:
        return {}
    said = f"{lines} at R={acceleration}: a kernel misses {missed:.0%} of those that are no part of its fit"
    return {"ImageComments": said}
