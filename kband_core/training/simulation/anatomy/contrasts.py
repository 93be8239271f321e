"""How bright tissues are: relaxation times with spread, and the signal equations of random sequences."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from kband_core.training.simulation.random_fields import between


class Tissue(NamedTuple):
    """Relaxation times in ms at about 3 T, and proton density against water."""

    t1_ms: float
    t2_ms: float
    density: float


TISSUES = {  # rounded; Stanisz, MRM 54:507, 2005 for grey and white matter and muscle
    "fluid": Tissue(4200, 1800, 1.0),
    "grey": Tissue(1500, 95, 0.82),
    "white": Tissue(900, 72, 0.70),
    "muscle": Tissue(1300, 40, 0.75),
    "fat": Tissue(370, 110, 0.90),  # apparent: fast echoes keep fat bright
    "bone": Tissue(400, 12, 0.12),
}
REFOCUSED = 0.6  # T2* over T2: gradient echoes lose more


def random_signals(rng: torch.Generator) -> dict[str, float]:
    """Draw a sequence and its timing, and return the magnitude of each tissue; the brightest of them has 1."""
    tissues = {
        name: Tissue(*(value * math.exp(between(-width, width, rng)) for value, width in zip(tissue, SPREAD, strict=True)))
        for name, tissue in TISSUES.items()
    }
    draw = SEQUENCES[int(torch.randint(len(SEQUENCES), (), generator=rng))]
    signals = draw(tissues, rng)
    if float(torch.rand((), generator=rng)) < 0.25:  # fat saturation
        signals["fat"] *= between(0.05, 0.4, rng)
    brightest = max(signals.values())
    return {name: signal / brightest for name, signal in signals.items()}


SPREAD = 0.2, 0.2, 0.08  # ± of T1, T2 and density, logarithms: people, ages and field strengths


def _spin_echo(tissues: dict[str, Tissue], rng: torch.Generator) -> dict[str, float]:
    repetition, echo = _log_between(350, 6000, rng), _log_between(8, 110, rng)
    return {
        name: density * (1 - math.exp(-repetition / t1)) * math.exp(-echo / t2)
        for name, (t1, t2, density) in tissues.items()
    }


def _proton_density(tissues: dict[str, Tissue], rng: torch.Generator) -> dict[str, float]:
    repetition, echo = between(3000, 8000, rng), between(8, 25, rng)
    return {
        name: density * (1 - math.exp(-repetition / t1)) * math.exp(-echo / t2)
        for name, (t1, t2, density) in tissues.items()
    }


def _spoiled_gradient_echo(tissues: dict[str, Tissue], rng: torch.Generator) -> dict[str, float]:
    repetition, echo = _log_between(5, 600, rng), _log_between(2, 25, rng)
    flip = math.radians(_log_between(5, 70, rng))
    return {
        name: density * math.sin(flip) * (1 - (e1 := math.exp(-repetition / t1))) / (1 - e1 * math.cos(flip))
        * math.exp(-echo / (REFOCUSED * t2))
        for name, (t1, t2, density) in tissues.items()
    }  # fmt: skip


def _inversion(tissues: dict[str, Tissue], rng: torch.Generator) -> dict[str, float]:
    """From short inversion times, which null fat, to long ones, which null fluid as FLAIR does; magnitudes."""
    repetition, delay, echo = between(4000, 10000, rng), _log_between(200, 2800, rng), _log_between(8, 110, rng)
    return {
        name: density * abs(1 - 2 * math.exp(-delay / t1) + math.exp(-repetition / t1)) * math.exp(-echo / t2)
        for name, (t1, t2, density) in tissues.items()
    }


SEQUENCES = _spin_echo, _proton_density, _spoiled_gradient_echo, _inversion


def _log_between(low: float, high: float, rng: torch.Generator) -> float:
    return math.exp(between(math.log(low), math.log(high), rng))
