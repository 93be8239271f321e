"""What is certainly broken in a volume undersampled along ky and kz is left out: lines and coils."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from gadgets.items import ReconBuffer
from gadgets.line_count import LineCount
from kband_core.coils import sample_energy
from kband_core.corruption import broken_coils, silent_lines, wild_lines
from kband_core.plural import counted
from kband_core.sampling import Grid


def sound_volume(buffer: ReconBuffer) -> ReconBuffer:
    """Return a `turned` buffer without lines that hold nothing or far too much, and without broken coils.

    Energies of lines are the same along x as along kx. Lines are compared with those as far from the centre. Nothing
    makes them again: they count as missing. Spikes, which would need lines as they came, are not looked for.
    """
    kspace, mask, counts = buffer.kspace, buffer.sampling.here().mask.cpu().clone(), buffer.counts.copy()
    alive = torch.ones(kspace.shape[3], dtype=torch.bool)
    problems: list[str] = []
    for index in np.ndindex(buffer.headers.shape):
        partitions, rows = torch.nonzero(mask[index][0]).unbind(-1)
        n_z, n_y = mask.shape[-2:]
        order = torch.hypot((partitions - n_z // 2) / n_z, (rows - n_y // 2) / n_y).argsort(stable=True)
        partitions, rows = partitions[order], rows[order]
        if len(rows) == 0:
            continue
        energy = _energies(kspace[index])[:, partitions, rows]
        if buffer.acs is not None:
            alive &= ~_broken_coils(energy, partitions, rows, (n_z, n_y), buffer, index[0])
        by_line = energy[alive] if alive.any() else energy
        broken = silent_lines(by_line) | wild_lines(by_line)
        if n_broken := int(broken.sum()):
            mask[index][0, partitions[broken], rows[broken]] = False
            received, expected = counts[index]
            counts[index] = LineCount(received - n_broken, expected)
            first = int(rows[broken][0]), int(partitions[broken][0])
            problems.append(f"{counted(n_broken, 'line is', 'lines are')} broken, first row {first[0]}, "
                            f"partition {first[1]}")  # fmt: skip
    if not alive.any():
        return replace(buffer, problems=(*buffer.problems, "no coil received a signal that can be used"))
    if not alive.all():
        problems.append(f"coil {int((~alive).nonzero()[0])} is broken and left out")
        acs = buffer.acs[:, :, alive]
        held_out = buffer.held_out and (buffer.held_out[0][:, :, :, alive], buffer.held_out[1])
        buffer = replace(buffer, kspace=kspace[:, :, :, alive], acs=acs, held_out=held_out)
    elif not problems:
        return buffer
    kspace, sampling = buffer.kspace, buffer.sampling
    if not torch.equal(mask, sampling.here().mask.cpu()):
        sampling = Grid(mask).to(kspace.device)
        kspace = kspace * sampling.mask.unsqueeze(3)
    return replace(buffer, kspace=kspace, sampling=sampling, counts=counts, problems=(*buffer.problems, *problems))


def _broken_coils(
    energy: Tensor, partitions: Tensor, rows: Tensor, size: tuple[int, int], buffer: ReconBuffer, slice_: int
) -> Tensor:
    """Which coils see another signal beyond the calibration lines than in those."""
    acs = buffer.acs[slice_].movedim(1, 0)
    n_z, n_y = acs.shape[-2:]
    apart = ((partitions - size[0] // 2).abs() > n_z // 2) | ((rows - size[1] // 2).abs() > n_y // 2)
    if not apart.any():
        return torch.zeros_like(energy[:, 0], dtype=torch.bool)
    return broken_coils(energy[:, apart], _energies(acs).flatten(1))


def _energies(volume: Tensor) -> Tensor:
    """Mean energy of all lines, `(coil, x, kz, ky)` to `(coil, kz, ky)`; coil by coil, for volumes are large. It is on
    the CPU, where lines are compared: a GPU is waited for once."""
    return torch.stack([sample_energy(coil).mean(0) for coil in volume]).cpu()
