"""Where the centre of k-space is, told by the lines themselves: headers are written that give another."""

from __future__ import annotations

import numpy as np

from gadgets.receiving.kspace_lines import KSpaceLines

FARTHEST = 1 / 16  # of the rows: nearer to the middle, the strongest line is where phase in the object moved it
STRONGER = 3.0  # times as strong as the lines in the header's centre
NTH = 3  # strongest sample of a line, of the median coil, tells how strong it is: a spike does not


def rows_off_centre(lines: KSpaceLines) -> tuple[int, bool]:
    """Count the rows from the header's centre to the strongest line; 0 if that is near, or not much stronger.

    Also tell whether it is a hill: a lone line, beside which none is as strong as the centre, has another's counters.
    A line that was never acquired has no strength: a header that puts the centre where nothing came is wrong, too.
    """
    n_rows, reach = lines.counts.shape[1], lines.encoding.acceleration[0]
    strength, rows, echo = np.zeros(n_rows), np.flatnonzero(lines.counts.any(0)), _around_the_echo(lines)
    if rows.size == 0:
        return 0, False
    samples = np.abs(lines.kspace[:, :, rows, echo]).swapaxes(1, 2).reshape(len(lines.kspace), len(rows), -1)
    nth = min(NTH, samples.shape[-1])
    strength[rows] = np.median(np.partition(samples, -nth, axis=-1)[..., -nth], axis=0)
    centre, strongest = n_rows // 2, int(strength.argmax())
    off = strongest - centre
    at_centre = strength[max(centre - reach, 0) : centre + reach + 1].max()
    strength_there, strength[strongest] = strength[strongest], 0
    beside = strength[max(strongest - reach, 0) : strongest + reach + 1].max()
    is_off = abs(off) > FARTHEST * n_rows and strength_there > STRONGER * at_centre
    return off if is_off else 0, bool(beside > at_centre)


def _around_the_echo(lines: KSpaceLines) -> slice:
    """The middle quarter of the readout, where the echo stands."""
    n_samples = lines.kspace.shape[-1]
    return slice(max(n_samples // 2 - max(n_samples // 8, NTH), 0), n_samples // 2 + max(n_samples // 8, NTH))
