"""Shots of a stack: the same places in every partition, so that a transform along kz leaves one plane for each z."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from gadgets.encoding import Encoding
from gadgets.errors import ScanError
from gadgets.receiving.shot import Shot
from kband_core.fourier import to_image
from kband_core.plural import counted

ALIKE = 0.01  # of 1/field of view: by so much places may differ from partition to partition


def whole_stacks(shots: Sequence[Shot], encoding: Encoding) -> tuple[list[list[Shot]], list[str]]:
    """Return the shots of each angle that has all partitions, in their order, and what is to be said of the others.

    Raises `ScanError` if there is none, or if places differ from partition to partition.
    """
    came: Counter[tuple[int, int]] = Counter()  # averages: their numbers need not tell them
    by_angle: defaultdict[tuple[int, int], dict[int, Shot]] = defaultdict(dict)
    for shot in shots:
        steps = shot.header.idx.kspace_encode_step_1, shot.header.idx.kspace_encode_step_2
        by_angle[steps[0], came[steps]][steps[1]] = shot
        came[steps] += 1
    n = len(encoding.step2)
    stacks = [[stack[step] for step in sorted(stack)] for _, stack in sorted(by_angle.items()) if len(stack) == n]
    slice_ = shots[0].header.idx.slice
    if not stacks:
        raise ScanError(
            f"slice {slice_}: none of {len(by_angle)} angles came in all {n} partitions, as a stack of stars needs it"
        )
    for stack in stacks:
        apart = max(float((shot.coords - stack[0].coords).abs().max()) for shot in stack)
        if apart * max(encoding.recon_matrix[:2]) > ALIKE:
            step = stack[0].header.idx.kspace_encode_step_1
            raise ScanError(
                f"slice {slice_}: shots of encoding step 1 {step} lie up to {apart:.3g} cycles per pixel apart in "
                "different partitions; a stack of stars has them at the same places"
            )
    n_lost = len(by_angle) - len(stacks)
    return stacks, [f"{counted(n_lost, 'angle')} left out, of which partitions are missing"] if n_lost else []


def planes_of(stacks: Sequence[Sequence[Shot]], encoding: Encoding) -> Tensor:
    """Return samples `(coil, z, shot, sample)`, of partitions that are at their rows of the matrix and transformed."""
    (n_coils, n_samples), n_z = stacks[0][0].data.shape, encoding.encoded_matrix[2]
    kspace = torch.zeros(n_coils, n_z, len(stacks), n_samples, dtype=torch.complex64)
    for number, stack in enumerate(stacks):
        for shot in stack:
            kspace[:, encoding.partition(shot.header.idx.kspace_encode_step_2), number] = shot.data
    for coil in kspace:  # one at a time: the transform needs as much memory again
        coil.copy_(to_image(coil, dims=(0,)))
    return kspace
