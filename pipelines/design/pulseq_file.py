"""Designed shots as a Pulseq sequence: a spoiled gradient echo that plays one after the other.

Curves are exact there: their gradient is linear from knot to knot, which lie on the raster of gradients.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kband_core.trajectory_design.gradient_limits import PROTON
from kband_core.trajectory_design.learning import LEVELS, Task
from pipelines.files.finished_file import FileProblem, finished_file

DEAD_TIME_S = 20e-6  # of the receiver, and after a pulse
READY_S = 100e-6  # before a pulse
PULSE_S = 2e-3
SPOILING_DEG = 117.0  # by which the phase of pulses grows
SPOILED = 4  # cycles across the slice, after each shot
AXES = ((1, "x"), (0, "y"))  # where coordinates hold them


def has_pypulseq() -> bool:
    """Whether pypulseq is installed."""
    return importlib.util.find_spec("pypulseq") is not None


def require_pypulseq() -> ModuleType:
    """Return pypulseq. Raises `FileProblem`, saying what to install, if it is missing."""
    try:
        import pypulseq
    except ImportError as error:
        raise FileProblem("pypulseq is missing, and .seq files need it: pip install kband[seq]") from error
    return pypulseq


@dataclass(frozen=True, kw_only=True)
class GradientEcho:
    """The sequence around the shots: flip angle in degrees, slice in mm, repetition time in ms; 0 for the shortest."""

    flip_deg: float = 15.0
    slice_mm: float = 5.0
    tr_ms: float = 0.0


def write_pulseq(path: Path, task: Task, points: Tensor, echo: GradientEcho) -> None:
    """Write the sequence of curves of the finest level `(shot, point, 2)`.

    Raises `FileProblem` where pypulseq finds a time or a limit that is not kept, or the repetition time is too short.
    """
    pulseq = require_pypulseq()
    system = _system(pulseq, task)
    sequence = pulseq.Sequence(system)
    metre = task.readout.pixel_mm * task.matrix * 1e-3
    try:
        pulse, select, rephase = pulseq.make_sinc_pulse(
            math.radians(echo.flip_deg), delay=READY_S, duration=PULSE_S, slice_thickness=echo.slice_mm * 1e-3,
            apodization=0.5, time_bw_product=4, return_gz=True, use="excitation", system=system,
        )  # fmt: skip
        spoil = pulseq.make_trapezoid("z", area=SPOILED / (echo.slice_mm * 1e-3), system=system)
        for shot, read in enumerate(_readouts(pulseq, task, points)):
            phase = math.radians(SPOILING_DEG * shot * (shot + 1) / 2 % 360)
            pulse.phase_offset = read[-1].phase_offset = phase
            blocks = ((pulse, select), (rephase,), tuple(read), (spoil,))
            for block in blocks:
                sequence.add_block(*block)
            taken = sum(pulseq.calc_duration(*block) for block in blocks)
            if echo.tr_ms and echo.tr_ms * 1e-3 < taken:
                raise FileProblem(f"{path}: TR is {echo.tr_ms:g} ms, at least {taken * 1e3:.2f} expected")
            if echo.tr_ms * 1e-3 > taken:
                ticks = round((echo.tr_ms * 1e-3 - taken) / system.grad_raster_time)
                sequence.add_block(pulseq.make_delay(ticks * system.grad_raster_time))
    except (ValueError, AssertionError) as problem:
        raise FileProblem(f"{path}: pypulseq refuses: {problem}") from problem
    is_right, report = sequence.check_timing()
    if not is_right:
        raise FileProblem(f"{path}: pypulseq finds {len(report)} wrong times, the first: {report[0]}")
    sequence.set_definition("FOV", [metre, metre, echo.slice_mm * 1e-3])
    sequence.set_definition("Name", "kband_design")
    with finished_file(path) as unfinished:
        named = unfinished.with_name(f"{unfinished.name}.seq")  # pypulseq wants that ending
        try:
            sequence.write(str(named))
            named.replace(unfinished)
        finally:
            named.unlink(missing_ok=True)


def places_in_pulseq(path: Path, task: Task) -> Tensor:
    """Return where pypulseq, reading a sequence, finds the samples: `(shot, sample, 2)`, cycles per pixel."""
    sequence = require_pypulseq().Sequence()
    sequence.read(str(path))
    per_metre = torch.from_numpy(np.asarray(sequence.calculate_kspace()[0][:2]))
    places = per_metre.flip(0).T * (task.readout.pixel_mm * 1e-3)
    return places.reshape(task.n_shots, task.readout.n_samples, 2).float()


def _system(pulseq: ModuleType, task: Task, part: float = 1.0) -> Any:
    return pulseq.Opts(
        max_grad=part * task.limits.gradient, grad_unit="mT/m", max_slew=part * task.limits.slew, slew_unit="T/m/s",
        rf_ringdown_time=DEAD_TIME_S, rf_dead_time=READY_S, adc_dead_time=DEAD_TIME_S,
    )  # fmt: skip


def _readouts(pulseq: ModuleType, task: Task, points: Tensor) -> Iterator[list[Any]]:
    """Both gradients and the receiver of each shot: to its beginning, along it, and back; all take the same time."""
    raster = task.raster(LEVELS - 1)
    along = (raster.gradients(points.double()) * 1e-3 * PROTON).numpy()  # Hz/m at the knots `(shot, knot, 2)`
    halfway = (points[:, :-1] + points[:, 1:]).double().numpy() / (2 * raster.pixel_mm * 1e-3)  # 1/m, at the knots
    lobe = partial(pulseq.make_extended_trapezoid_area, system=_system(pulseq, task, math.sqrt(0.5)))  # of each axis
    axes = [[(along[shot, :, axis], lobe(halfway[shot, 0, axis], name, 0.0, along[shot, 0, axis])[1:],
              lobe(-halfway[shot, -1, axis], name, along[shot, -1, axis], 0.0)[1:]) for axis, name in AXES]
            for shot in range(len(points))]  # fmt: skip
    lead, trail = (max(lobes[part][0][-1] for shot in axes for lobes in shot) for part in (1, 2))
    system = _system(pulseq, task)
    receiver = pulseq.make_adc(task.readout.n_samples, dwell=task.readout.dwell_us * 1e-6, delay=lead, system=system)
    knots = lead + np.arange(along.shape[1]) * raster.segment_us * 1e-6
    for shot in axes:
        played = []
        for (_, name), (middle, there, back) in zip(AXES, shot, strict=True):
            times = np.concatenate((there[0] + lead - there[0][-1], knots[1:], knots[-1] + back[0][1:])).round(8)
            end = (knots[-1] + trail).round(8)  # rounded, for what is equal but for rounding is one time
            strengths = np.concatenate((there[1], middle[1:], back[1][1:]))
            if times[0] > 0:
                times, strengths = np.append(0.0, times), np.append(0.0, strengths)
            if times[-1] < end:
                times, strengths = np.append(times, end), np.append(strengths, 0.0)
            gradient = pulseq.make_extended_trapezoid(name, times=times, amplitudes=strengths, system=system)
            played.append(gradient)
        yield [*played, receiver]
