"""The signal of water and fat at an echo: two moduli that turn apart, decay together, in a field that is not even."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from kband_core.plural import counted

MHZ_PER_TESLA = 42.577
FAT_PPM = -3.729, -3.329, -3.039, -2.599, -2.379, -1.859, 0.681  # of seven groups of protons, from water
FAT_SHARES = 0.0825, 0.6273, 0.0716, 0.0958, 0.0656, 0.0153, 0.0419
MAIN_PEAK_PPM = 3.4
FEWEST_ECHOES = 3  # two complex amplitudes, decay and field are six numbers, an echo tells two
FIELDS = 0.01, 25.0  # T
CLOSEST_MS = 0.01  # of two echoes: less is a rounding
WORST_CONDITION = 8.0  # of telling water from fat where decay and field are known


def fat_turns(echo_times_ms: Tensor, field_t: float) -> Tensor:
    """Return Σ a·e^{2πi f t} of the fat peaks, `(echo,)` complex128: 1 at t = 0.

    Frequencies are negative: precession is such that fat falls behind water clockwise. Seven peaks, as in UP-Net.
    """
    hertz = torch.tensor(FAT_PPM, dtype=torch.float64) * MHZ_PER_TESLA * field_t
    angles = 2e-3 * math.pi * hertz * echo_times_ms.double()[:, None]
    shares = torch.tensor(FAT_SHARES, dtype=torch.float64)
    return torch.polar((shares / shares.sum()).expand_as(angles), angles).sum(-1)


def fat_shift_hz(field_t: float) -> float:
    """How far the main peak of fat lies from water."""
    return MAIN_PEAK_PPM * MHZ_PER_TESLA * field_t


def synthesise(
    water: Tensor, fat: Tensor, r2star: Tensor, b0: Tensor, echo_times_ms: Tensor, field_t: float
) -> Tensor:
    """Return the echoes S(t) = (W + F·fat_turns(t))·e^{−R2*·t + 2πi·B0·t}, `(echo, ...)` complex64.

    `water` and `fat` are complex, R2* is in 1/s, `b0` in Hz; all broadcast.
    """
    turns = fat_turns(echo_times_ms, field_t)
    echoes = [
        (water + fat * complex(turn)) * torch.exp(torch.complex(-r2star * time, 2 * math.pi * b0 * time))
        for turn, time in zip(turns.tolist(), (echo_times_ms.double() * 1e-3).tolist(), strict=True)
    ]
    return torch.stack(echoes).to(torch.complex64)


def check_echoes(echo_times_ms: Sequence[float], field_t: float | None) -> None:
    """Raise `ValueError` for echoes that do not tell water from fat, or a field that nobody knows."""
    times = ", ".join(f"{time:g}" for time in echo_times_ms)
    if field_t is None or not FIELDS[0] <= field_t <= FIELDS[1]:
        said = "not given" if field_t is None else f"{field_t:g} T"
        raise ValueError(f"the field strength is {said}, {FIELDS[0]:g} to {FIELDS[1]:g} T expected")
    if len(echo_times_ms) < FEWEST_ECHOES:
        raise ValueError(
            f"{counted(len(echo_times_ms), 'echo time')} ({times or 'none'}), at least {FEWEST_ECHOES} needed for "
            "water, fat, R2* and the field"
        )
    in_order = sorted(echo_times_ms)
    if not all(math.isfinite(time) and time >= 0 for time in in_order):
        raise ValueError(f"echo times {times} ms, finite and positive ones expected")
    if min(later - earlier for earlier, later in pairwise(in_order)) < CLOSEST_MS:
        raise ValueError(f"echo times {times} ms, some of which are equal, expected are different ones")
    turns = fat_turns(torch.tensor(list(echo_times_ms)), field_t)
    apart = torch.linalg.cond(torch.stack((torch.ones_like(turns), turns), 1))
    if apart > WORST_CONDITION:
        raise ValueError(f"echo times {times} ms find fat in the same phase at {field_t:g} T, expected are others")
