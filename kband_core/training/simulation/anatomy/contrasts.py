"""How bright tissues are: signal equations, relaxation times, and random sequences of random timing."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from kband_core.training.simulation.random_fields import between


class Tissue(NamedTuple):
    """Relaxation times in ms at about 3 T, and proton density against that of water."""

    t1_ms: float
    t2_ms: float
    density: float


TISSUES = {  # cf. Stanisz, MRM 54:507, 2005; published values differ by more than the spread below
    "fluid": Tissue(4200, 1800, 1.0),
    "grey": Tissue(1500, 95, 0.82),
    "white": Tissue(900, 72, 0.70),
    "muscle": Tissue(1300, 40, 0.75),
    "fat": Tissue(370, 110, 0.90),  # apparent: fast echoes keep fat bright
    "bone": Tissue(400, 12, 0.12),
}
SPREAD = 0.2, 0.2, 0.08  # ± of T1, T2 and density, logarithms: people, ages and field strengths
REFOCUSED = 0.6  # T2* over T2: gradient echoes lose more
SATURATED = 0.25  # share of sequences that saturate fat


def spin_echo(tissue: Tissue, *, repetition: float, echo: float) -> float:
    """Return the signal of a spin echo after 90°; times in ms."""
    return tissue.density * (1 - math.exp(-repetition / tissue.t1_ms)) * math.exp(-echo / tissue.t2_ms)


def spoiled_gradient_echo(tissue: Tissue, *, repetition: float, echo: float, flip: float) -> float:
    """Return the steady signal of excitations by `flip` radians, spoiled after each; times in ms."""
    left = math.exp(-repetition / tissue.t1_ms)
    steady = math.sin(flip) * (1 - left) / (1 - left * math.cos(flip))
    return tissue.density * steady * math.exp(-echo / (REFOCUSED * tissue.t2_ms))


def inversion_recovery(tissue: Tissue, *, repetition: float, delay: float, echo: float) -> float:
    """Return the magnitude of a spin echo `delay` after an inversion; times in ms."""
    recovered = 1 - 2 * math.exp(-delay / tissue.t1_ms) + math.exp(-repetition / tissue.t1_ms)
    return tissue.density * abs(recovered) * math.exp(-echo / tissue.t2_ms)


def random_signals(rng: torch.Generator) -> dict[str, float]:
    """Draw a sequence and its timing, and return the magnitude of each tissue; the brightest of them has 1."""
    tissues = {
        name: Tissue(*(value * math.exp(between(-by, by, rng)) for value, by in zip(tissue, SPREAD, strict=True)))
        for name, tissue in TISSUES.items()
    }
    signal = SEQUENCES[int(torch.randint(len(SEQUENCES), (), generator=rng))](rng)
    signals = {name: signal(tissue) for name, tissue in tissues.items()}
    if float(torch.rand((), generator=rng)) < SATURATED:
        signals["fat"] *= between(0.05, 0.4, rng)
    brightest = max(signals.values())
    return {name: value / brightest for name, value in signals.items()}


def _any_spin_echo(rng: torch.Generator) -> Callable[[Tissue], float]:
    return partial(spin_echo, repetition=_log_between(350, 6000, rng), echo=_log_between(8, 110, rng))


def _proton_density(rng: torch.Generator) -> Callable[[Tissue], float]:
    return partial(spin_echo, repetition=between(3000, 8000, rng), echo=between(8, 25, rng))


def _any_gradient_echo(rng: torch.Generator) -> Callable[[Tissue], float]:
    repetition, echo = _log_between(5, 600, rng), _log_between(2, 25, rng)
    flip = math.radians(_log_between(5, 70, rng))
    return partial(spoiled_gradient_echo, repetition=repetition, echo=echo, flip=flip)


def _any_inversion(rng: torch.Generator) -> Callable[[Tissue], float]:
    """From short delays, which null fat, to long ones, which null fluid as FLAIR does."""
    repetition, delay = between(4000, 10000, rng), _log_between(200, 2800, rng)
    return partial(inversion_recovery, repetition=repetition, delay=delay, echo=_log_between(8, 110, rng))


SEQUENCES = _any_spin_echo, _proton_density, _any_gradient_echo, _any_inversion


def _log_between(low: float, high: float, rng: torch.Generator) -> float:
    return math.exp(between(math.log(low), math.log(high), rng))
