"""Lines that are still to come, and others made of each of them at once: work that need not wait for the last line."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kband_core.device import in_same_memory
from kband_core.threads import single_thread


class ComingLines:
    """K-space `(coil, ky, kx)` under construction, and what is made of its lines as they come.

    kspace  written as lines come; whoever asked for it reads it behind the last one
    came    bool `(ky,)`, which lines are there

    Nothing made of a line is of use where the line is changed later: `of` tells.
    """

    def __init__(self, kspace: Tensor, make: Callable[[Tensor], Tensor] | None = None) -> None:
        self.kspace, self.came = kspace, torch.zeros(kspace.shape[1], dtype=torch.bool)
        self._make = make
        self._made: list[tuple[Callable[..., Tensor], Tensor, ComingLines]] = []

    def beside(self, acs: Tensor) -> ComingLines | None:
        """Return these lines if they have the coils of calibration lines `(z, coil, ky, kx)`, by their number."""
        return self if acs.shape[1] == len(self.kspace) else None

    def of(self, kspace: Tensor) -> ComingLines | None:
        """Return these lines if they are those of that very k-space `(slice, s, n, coil, kz, ky, kx)`, in one plane."""
        return self if in_same_memory(self.kspace[None, None, None, :, None], kspace) else None

    def take(self, rows: Tensor) -> None:
        """Take notice of lines that came, or changed, by number."""
        self.came[rows] = True
        for _, _, made in self._made:
            made._put(rows, self.kspace)
            made.take(rows)

    def made(self, make: Callable[[Tensor, Tensor], Tensor], by: Tensor) -> ComingLines:
        """Return what `make` makes of these lines `by` a tensor: of those that came now, of each other as it comes.

        `make` takes lines `(coil, line, kx)`, each for itself, and returns an array with as many along its second axis.
        Whoever asks again, for the same function and an equal tensor, gets the same lines.
        """
        for known, known_by, made in self._made:
            if known is make and known_by.shape == by.shape and torch.equal(known_by, by):
                return made
        some = make(self.kspace[:, :1], by)
        made = ComingLines(some.new_zeros(len(some), len(self.came), some.shape[-1]), lambda lines: make(lines, by))
        made._put(rows := self.came.nonzero().flatten(), self.kspace)
        made.take(rows)
        self._made.append((make, by, made))
        return made

    def with_others(self, kspace: Tensor, lines: Tensor) -> Tensor:
        """Return these lines, and those of the `lines`, bool `(ky,)`, that did not come, made of `kspace` alike.

        Such are calibration lines that fill the gaps of an image.
        """
        others = (lines & ~self.came).nonzero().flatten()
        self._put(others, kspace)
        return self.kspace

    def _put(self, rows: Tensor, kspace: Tensor) -> None:
        if len(rows):
            with single_thread():
                self.kspace.index_copy_(1, rows, self._make(kspace.index_select(1, rows)))
