"""What the steps of a training change, and how one step changes it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from kband_core.training.ema import MovingAverage
from kband_core.training.example import Example
from kband_core.training.processes import Processes
from kband_core.training.recipe import OptimiserRecipe
from kband_core.training.schedule import one_cycle, staircase
from kband_core.training.supervision import Supervision

log = logging.getLogger(__name__)

MOST_SKIPPED = 10  # steps in a row
COUNTERS = ("step", "n_skipped", "n_skipped_in_a_row", "loss_sum", "n_losses", "seconds", "best")
JUDGED = "judged"  # a counter that earlier checkpoints lack, whose last step was judged


@dataclass
class State:
    """Weights, their moving average, the optimiser, and counters; `best` is the figures and step of what is shipped.

    `judged`: the last step that was validated. `is_whole`: not in the middle of a step's changes, so worth keeping.
    """

    network: nn.Module
    average: MovingAverage
    optimiser: torch.optim.Adam
    step: int = 0
    n_skipped: int = 0
    n_skipped_in_a_row: int = 0
    loss_sum: float = 0.0
    n_losses: int = 0
    seconds: float = 0.0
    best: dict[str, Any] = field(default_factory=dict)
    judged: int = 0
    is_whole: bool = True

    def content(self) -> dict[str, Any]:
        """All of it, as a checkpoint keeps it."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "first": self.average.first,
            "n_updates": self.average.n_updates,
            "optimiser": self.optimiser.state_dict(),
            **{name: getattr(self, name) for name in (*COUNTERS, JUDGED)},
        }

    def restore(self, content: Mapping[str, Any]) -> None:
        """Become what `content` says."""
        self.network.load_state_dict(content["network"])
        self.average.network.load_state_dict(content["average"])
        self.average.n_updates = content["n_updates"]
        for mine, theirs in zip(self.average.first, content.get("first", ()), strict=True):
            mine.copy_(theirs)
        self.optimiser.load_state_dict(content["optimiser"])
        for name in COUNTERS:
            setattr(self, name, content[name])
        self.judged = content.get(JUDGED, self.step)

    def mean_loss(self) -> float:
        """Return the mean loss since this was last asked."""
        mean = self.loss_sum / self.n_losses if self.n_losses else math.nan
        self.loss_sum, self.n_losses = 0.0, 0
        return mean


def learning_rate(recipe: OptimiserRecipe, step: int, n_steps: int) -> float:
    """Return the learning rate of a step, a function of nothing else."""
    if recipe.schedule == "onecycle":
        return recipe.learning_rate * one_cycle(step, n_steps)
    if recipe.schedule == "step":
        return recipe.learning_rate * staircase(step, n_steps, recipe.drops)
    return recipe.learning_rate


def take_step(
    state: State,
    example: Example,
    supervise: Supervision,
    *,
    rate: float,
    clip: float,
    processes: Processes,
    stop: bool = False,
) -> tuple[float, bool]:
    """Descend by the gradient of a batch; return the loss, and whether any process wants to stop.

    A gradient that is not finite changes nothing but the counters. Raises `ValueError` after 10 of them in a row.
    """
    network, optimiser = state.network, state.optimiser
    optimiser.zero_grad(set_to_none=True)
    loss = supervise.loss_of(network, example)
    loss.backward()
    wish = torch.full_like(loss, float(stop))
    loss, wish = processes.average_gradients(network, loss.detach(), wish.detach())
    norm = nn.utils.clip_grad_norm_(network.parameters(), clip or math.inf)
    value, length, share_to_stop = torch.stack([loss, norm, wish]).tolist()
    if math.isfinite(value) and math.isfinite(length):
        for group in optimiser.param_groups:
            group["lr"] = rate
        state.is_whole = False
        optimiser.step()
        state.average.update(network)
        state.loss_sum, state.n_losses, state.n_skipped_in_a_row = state.loss_sum + value, state.n_losses + 1, 0
    else:
        state.n_skipped, state.n_skipped_in_a_row = state.n_skipped + 1, state.n_skipped_in_a_row + 1
        log.warning("step %d: the gradient is not finite; step skipped, %d so far", state.step, state.n_skipped)
        if state.n_skipped_in_a_row == MOST_SKIPPED:
            raise ValueError(
                f"step {state.step}: {MOST_SKIPPED} gradients in a row are not finite; lower the learning rate"
            )
    state.step += 1
    state.is_whole = True
    return value, share_to_stop > 0
