"""What the echoes themselves say at a field and a decay: water and fat, where to go from there, and how sure.

For many slices at once, of different echo times. Nothing of it knows how many echoes there are, at what times, in what
field: that is why a network which is told no more than this can be used for any of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.relaxometry.fat_model import fat_shift_hz, fat_turns

FARTHEST = 0.25  # shifts of fat that one step may move the field by
LARGEST_R2STAR = 1000.0  # 1/s
FAINT = 1e-6  # of the energy of a signal of 1: what divides no more than it


@dataclass(frozen=True)
class SliceEchoes:
    """Echoes `signal` `(b, echo, y, x)` at `seconds` `(b, echo)`, where fat has turned by `turns`, complex `(b, echo)`.

    `counts` `(b, echo)` is 0 where a slice has fewer echoes than others; `shift` `(b,)` that of fat, in Hz.
    """

    signal: Tensor
    seconds: Tensor
    turns: Tensor
    counts: Tensor
    shift: Tensor

    @classmethod
    def of(cls, slices: Sequence[tuple[Tensor, Sequence[float], float]]) -> SliceEchoes:
        """Put slices together, each with its echoes `(echo, y, x)`, their times in ms, and the field strength in T."""
        most = max(len(times) for _, times, _ in slices)
        rows = []
        for signal, times_ms, field_t in slices:
            times = torch.tensor(list(times_ms), dtype=torch.float64)
            rest = most - len(times)
            rows.append((
                torch.cat((signal, signal.new_zeros(rest, *signal.shape[1:]))),
                torch.nn.functional.pad(times.float() * 1e-3, (0, rest)),
                torch.cat((fat_turns(times, field_t).to(torch.complex64), torch.ones(rest, dtype=torch.complex64))),
                torch.nn.functional.pad(torch.ones(len(times)), (0, rest)),
                torch.tensor(fat_shift_hz(field_t)),
            ))  # fmt: skip
        return cls(*(torch.stack(part) for part in zip(*rows, strict=True)))

    def times(self, scale: Tensor) -> SliceEchoes:
        """Return the same echoes, each slice times its `scale` `(b,)`."""
        return SliceEchoes(self.signal * scale[:, None, None, None], self.seconds, self.turns, self.counts, self.shift)


@dataclass(frozen=True)
class Projection:
    """Least squares at a field and a decay, all `(b, y, x)`.

    water, fat      complex, at t = 0
    step_r2star     how far R2*, 1/s, and the field, Hz, are from where the echoes want them (a Gauss–Newton step)
    step_b0
    sd_r2star       SD of R2* for noise of SD 1 in real and imaginary part; that of the field is it over 2π
    sd_amplitude    the same of water and fat together, where field and decay are known
    left            RMS of what no water and fat explain
    """

    water: Tensor
    fat: Tensor
    step_r2star: Tensor
    step_b0: Tensor
    sd_r2star: Tensor
    sd_amplitude: Tensor
    left: Tensor


def project(echoes: SliceEchoes, r2star: Tensor, b0: Tensor) -> Projection:
    """Find the water and fat that explain most of `echoes` at `r2star` and `b0` `(b, y, x)`, and the step from there.

    A small step of decay and field turns the signal M by (−δR2* + 2πi·δB0)·t·M. Of that counts what is left beside
    water and fat, q: so (−δR2* + 2πi·δB0) = qᴴ·left / qᴴq, and both are known equally well (Kaufman 1975).
    """
    seconds = echoes.seconds[..., None, None]
    fade = torch.exp(torch.complex(-r2star, 2 * math.pi * b0)[:, None] * seconds) * echoes.counts[..., None, None]
    turned = fade * echoes.turns[..., None, None]
    power = fade.abs().square()
    one = power.sum(1)
    both = (power * echoes.turns[..., None, None]).sum(1)
    other = (power * echoes.turns.abs().square()[..., None, None]).sum(1)
    apart = (one * other - both.abs().square()).clamp(min=FAINT)

    def amplitudes(signal: Tensor) -> tuple[Tensor, Tensor]:
        first, second = (fade.conj() * signal).sum(1), (turned.conj() * signal).sum(1)
        return (other * first - both * second) / apart, (one * second - both.conj() * first) / apart

    water, fat = amplitudes(echoes.signal)
    explained = fade * water[:, None] + turned * fat[:, None]
    left = echoes.signal * echoes.counts[..., None, None] - explained
    moved = seconds * explained
    of_water, of_fat = amplitudes(moved)
    beside = moved - fade * of_water[:, None] - turned * of_fat[:, None]
    known = beside.abs().square().sum(1).clamp(min=FAINT**2)
    step = (beside.conj() * left).sum(1) / known
    rest = (left.abs().square().sum(1) / echoes.counts.sum(1)[:, None, None]).sqrt()
    return Projection(water, fat, -step.real, step.imag / (2 * math.pi), known.rsqrt(), ((one + other) / apart).sqrt(),
                      rest)  # fmt: skip


def stepped(echoes: SliceEchoes, r2star: Tensor, b0: Tensor, n_steps: int) -> tuple[Tensor, Tensor]:
    """Follow the echoes by `n_steps` steps, none longer than a quarter of the shift of fat; R2* stays in its bounds."""
    reach = FARTHEST * echoes.shift[:, None, None]
    for _ in range(n_steps):
        here = project(echoes, r2star, b0)
        r2star = (r2star + here.step_r2star).clamp(0, LARGEST_R2STAR)
        b0 = b0 + torch.minimum(torch.maximum(here.step_b0, -reach), reach)
    return r2star, b0


def synthesised(echoes: SliceEchoes, water: Tensor, fat: Tensor, r2star: Tensor, b0: Tensor) -> Tensor:
    """Return the echoes `(b, echo, y, x)` that maps `(b, y, x)` would make at the times of `echoes`."""
    fade = torch.exp(torch.complex(-r2star, 2 * math.pi * b0)[:, None] * echoes.seconds[..., None, None])
    return echoes.counts[..., None, None] * fade * (water[:, None] + fat[:, None] * echoes.turns[..., None, None])
