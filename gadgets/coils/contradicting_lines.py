"""Calibration lines that fit to no others, such as one of the wrong sign, made again from their neighbours."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor

from gadgets.items import ReconBuffer
from kband_core.consistency import DOUBLED, contradicting_lines, doubled_share
from kband_core.device import in_same_memory, send
from kband_core.mending import amplified_lines, mend_calibration
from kband_core.plural import counted


def without_contradiction(acs: Tensor, csm: Tensor) -> Tensor:
    """Return calibration lines `(z, coil, ky, kx)` of which none fits to no other: the same ones where all fit.

    Their maps `csm` `(z, set, coil, y, x)` tell that they contradict one another, or a line far stronger than the one
    beside it does. Noise must have SD 1.
    """
    broken = torch.zeros(acs.shape[-2], dtype=torch.bool)
    if doubled_share(csm[0]) > DOUBLED:
        broken[contradicting_lines(acs[0])] = True
    with suppress(ValueError):  # too few lines to tell
        broken[amplified_lines(acs[0])] = True
    if not broken.any():
        return acs
    broken = send(broken, acs.device)
    return torch.stack([mend_calibration(plane, broken) for plane in acs])


def mended(buffer: ReconBuffer, acs: Tensor) -> ReconBuffer:
    """Return a buffer of one slice without lines that contradict, in its k-space either; it says so.

    `acs` are its calibration lines `without_contradiction`.
    """
    was = buffer.acs[0]
    if in_same_memory(acs, was) or torch.equal(acs, was):
        return buffer
    kspace, changed = buffer.kspace.clone(), (acs != was).any(-1).any(0).any(0)
    first = kspace.shape[-2] // 2 - acs.shape[-2] // 2 if buffer.acs_row is None else buffer.acs_row
    acquired = buffer.sampling.mask[0, 0, 0, 0].any(-1)
    for line in changed.nonzero().flatten().tolist():
        if acquired[first + line]:
            kspace[0, 0, 0, :, :, first + line] = acs[:, :, line].movedim(0, 1)
    where = first + int(changed.nonzero()[0])
    n_lines = int(changed.sum())
    said = counted(n_lines, "line fits to no others and was", "lines fit to no others and were")
    problem = f"{said} made again, first {where}"
    return replace(buffer, acs=acs[None], kspace=kspace, problems=(*buffer.problems, problem))
