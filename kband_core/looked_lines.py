"""Lines that were looked at: a few figures of each, told as it comes, by which most need no second look."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from kband_core.coils import sample_energy
from kband_core.device import in_same_memory

EVERY = 8  # samples, of a line's median
OUTER = 0.5  # of k-space, along either axis, where the object's interior is gone


class LineFigures(NamedTuple):
    """What is told of each line, by coil: `(coil, line)`.

    energy     mean of its samples
    brightest  sample, in energy
    usual      median energy of every eighth sample; zeros, as beyond the end of a partial echo, do not count
    total      sum of its samples; `total_ends`, `energy_ends` of those in the outer half of kx only, both sums
    """

    energy: Tensor
    brightest: Tensor
    usual: Tensor
    total: Tensor
    total_ends: Tensor
    energy_ends: Tensor

    def of_lines(self, lines: Tensor) -> LineFigures:
        """Those of some lines, by number or as bool."""
        return LineFigures(*(figure[:, lines] for figure in self))

    def times(self, factor: Tensor) -> LineFigures:
        """Those of lines multiplied by a real `factor`, which fits `(coil, line)`."""
        is_energy = (True, True, True, False, False, True)
        return LineFigures(*(of * (factor**2 if two else factor) for of, two in zip(self, is_energy, strict=True)))


def line_figures(lines: Tensor) -> LineFigures:
    """Look at lines `(coil, line, kx)`, each by itself."""
    energy = sample_energy(lines)
    ends = inner_half(lines.shape[-1])
    every = energy[..., ::EVERY]
    return LineFigures(
        energy=energy.mean(-1),
        brightest=energy.amax(-1),
        usual=every.masked_fill(every == 0, torch.nan).nanmedian(-1).values,
        total=lines.sum(-1),
        total_ends=lines[..., : ends.start].sum(-1) + lines[..., ends.stop :].sum(-1),
        energy_ends=energy[..., : ends.start].sum(-1) + energy[..., ends.stop :].sum(-1),
    )


def inner_half(length: int) -> slice:
    """What of an axis of k-space lies within its outer half."""
    return slice(length // 2 - int(OUTER * length / 2), length // 2 + int(OUTER * length / 2) + 1)


@dataclass(frozen=True)
class LookedLines:
    """The lines `rows` of `kspace` `(coil, ky, kx)`, one after the other, and their figures."""

    kspace: Tensor
    rows: Tensor
    figures: LineFigures

    @classmethod
    def of(cls, kspace: Tensor, rows: Tensor | None = None) -> LookedLines:
        """Look at some lines of k-space, or at all."""
        if rows is None:
            rows = torch.arange(kspace.shape[-2], device=kspace.device)
        return cls(kspace, rows, line_figures(kspace[:, rows]))

    def are(self, kspace: Tensor, rows: Tensor) -> bool:
        """Whether these are the lines `rows` of that very k-space: no others, and in the same memory."""
        is_same = in_same_memory(self.kspace, kspace)
        return is_same and self.rows.device == rows.device and torch.equal(self.rows, rows)

    def with_coils(self, alive: Tensor) -> LookedLines:
        """The same lines, nothing in those coils that are not `alive`, bool `(coil,)`."""
        kspace = self.kspace * alive[:, None, None]
        return replace(self, kspace=kspace, figures=self.figures.times(alive[:, None]))

    @cached_property
    def samples(self) -> Tensor:
        """All samples `(coil, line, kx)`."""
        return self.kspace[:, self.rows]

    @property
    def from_centre(self) -> Tensor:
        """How many lines of k-space each is away from its centre."""
        return (self.rows - self.kspace.shape[-2] // 2).abs()
