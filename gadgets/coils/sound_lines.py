"""What is certainly broken is left out before coils are mixed: lines made again from their neighbours, coils gone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from gadgets.items import Calibration, LineCount, ReconBuffer
from kband_core.corruption import broken_coils, interference, receiver_offset, silent_lines, wild_lines, wild_samples
from kband_core.mending import mend_calibration, mend_lines


def sound_calibration(item: Calibration) -> Calibration:
    """Mend lines that are silent or wild, plane by plane."""
    return replace(item, acs=_mended_acs(item.acs))


def sound_buffer(buffer: ReconBuffer) -> ReconBuffer:
    """Mend lines, take off what receivers add, leave out coils; say so, and count such lines as missing."""
    if buffer.acs is None or buffer.kspace.shape[4] > 1:
        return buffer
    kspace, counts, problems = buffer.kspace.clone(), buffer.counts.copy(), list(buffer.problems)
    acs = torch.stack([_mended_acs(planes) for planes in buffer.acs])
    alive = torch.ones(kspace.shape[3], dtype=torch.bool)
    for index in np.ndindex(buffer.headers.shape):
        lines, plane, calibration = buffer.mask[index][0], kspace[index][:, 0], acs[index[0]][0]
        if not lines.any():
            continue
        offset = receiver_offset(plane[:, lines])
        if offset.any():
            plane -= offset[:, None, None] * lines[:, None]
            acs[index[0]] -= offset[:, None, None]
            problems.append("receivers add a constant to all samples, which was taken off")
        apart = lines.clone()
        apart[_calibration_rows(buffer, len(lines), calibration.shape[-2])] = False
        if apart.any():
            alive &= ~broken_coils(plane[:, apart], calibration).cpu()
            plane[~alive] = 0
        broken = torch.zeros_like(lines)
        distance = (torch.arange(len(lines)) - len(lines) // 2).abs()
        broken[lines] = _broken(plane[:, lines], distance[lines])
        if broken.any():
            spacing = 1 if lines.all() else buffer.encoding.acceleration[0]
            plane[:] = mend_lines(plane, broken, spacing, calibration)
            if buffer.acs_row is not None:
                rows = torch.arange(acs.shape[-2]) + buffer.acs_row
                both = rows[broken[rows]]
                plane[:, both] = calibration[:, both - buffer.acs_row]
            counts[index] = LineCount(counts[index].received - int(broken.sum()), counts[index].expected)
            problems.append(f"{int(broken.sum())} lines are broken, first {int(broken.nonzero()[0])}")
        if columns := interference(plane * lines[:, None]):
            problems.append(f"a radio wave in column {columns[0]}")
    if not alive.all():
        problems.append(f"coil {int((~alive).nonzero()[0])} is broken and left out")
        kspace, acs = kspace[:, :, :, alive], acs[:, :, alive]
    return replace(buffer, kspace=kspace, acs=acs, counts=counts, problems=tuple(problems))


def _calibration_rows(buffer: ReconBuffer, n_rows: int, n_lines: int) -> slice:
    """Rows of the image that calibrate it, if any do."""
    if buffer.encoding.calibration_mode in ("separate", "external"):
        return slice(0, 0)
    first = n_rows // 2 - n_lines // 2 if buffer.acs_row is None else buffer.acs_row
    return slice(first, first + n_lines)


def _broken(lines: Tensor, distance: Tensor) -> Tensor:
    return silent_lines(lines) | wild_lines(lines) | wild_samples(lines, distance).any(-1).any(0)


def _mended_acs(acs: Tensor) -> Tensor:
    mended = []
    for plane in acs:
        n_lines = plane.shape[-2]
        broken = _broken(plane, (torch.arange(n_lines) - n_lines // 2).abs())
        try:
            mended.append(mend_calibration(plane, broken) if broken.any() else plane)
        except ValueError:
            mended.append(plane)
    return torch.stack(mended)
