"""A design as a picture: shots beside what they started from, their gradients and slew rates."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kband_core.trajectory_design.learning import LEVELS, Task

INCHES = (15.0, 5.0)


def draw_design(task: Task, start: Tensor, points: Tensor) -> Figure:
    """Draw shots `start` `(shot, sample, 2)`, designed curves of the finest level, and the gradients of one shot."""
    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.subplots(1, 3)
    for where, title, shots in ((axes[0], "start", start), (axes[1], "design", task.places(points, LEVELS - 1))):
        for shot in shots[1:]:
            where.plot(shot[:, 1], shot[:, 0], color="0.7", linewidth=0.6)
        where.plot(shots[0, :, 1], shots[0, :, 0], color="tab:red", linewidth=1.2)
        where.set(title=title, xlabel="kx, cycles per pixel", ylabel="ky", xlim=(-0.52, 0.52), ylim=(-0.52, 0.52))
        where.set_aspect("equal")
    _draw_load(axes[2], task, points)
    return figure


def _draw_load(axes: Axes, task: Task, points: Tensor) -> None:
    raster, limits = task.raster(LEVELS - 1), task.limits
    ends = torch.linspace(0, task.readout.duration_us / 1000, points.shape[1] - 1)
    gradient = raster.gradients(points)[0].norm(dim=-1) / limits.gradient
    slew = raster.slew_rates(points)[0].norm(dim=-1) / limits.slew
    axes.plot(ends, 100 * gradient, label="gradient")
    axes.stairs(100 * slew.numpy(), ends.numpy(), label="slew rate", baseline=None)
    axes.axhline(100, color="0.3", linestyle="--")
    axes.set(title="load of the red shot", xlabel="ms", ylabel=f"% of {limits.gradient:g} mT/m, {limits.slew:g} T/m/s")
    axes.set_ylim(0, 110)
    axes.legend()
