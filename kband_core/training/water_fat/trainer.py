"""Train a network that maps water and fat by a recipe: simulate, step, validate, keep the best, calibrate its σ."""

from __future__ import annotations

import copy
import datetime
import json
import math
import time
from contextlib import closing
from pathlib import Path

import torch
from torch import nn

from kband_core.model_card import EchoLimits, Limits
from kband_core.models import save_model
from kband_core.plural import counted
from kband_core.training.checkpoint import load_checkpoint, save_checkpoint
from kband_core.training.ema import MovingAverage
from kband_core.training.folder import held_folder
from kband_core.training.history import History
from kband_core.training.simulation.procedural_echoes import drawn_echoes, most_acceleration
from kband_core.training.state import State, learning_rate
from kband_core.training.stopping import Told, listening
from kband_core.training.trainer import Outcome, Tell
from kband_core.training.water_fat import material
from kband_core.training.water_fat.examples import Example, example_of
from kband_core.training.water_fat.judgement import calibrate, validate
from kband_core.training.water_fat.loss import water_fat_loss
from kband_core.training.water_fat.recipe import WaterFatRecipe
from kband_core.uncertainty.reliability import Reliability

ROW_EVERY = 50  # steps
FIELD_MARGIN = 0.1  # T, by which magnets of one name differ
MARGIN = 0.1  # of the acceleration, as in `training.limits`
TURNS = 8  # ways to turn and mirror an image


def train_water_fat(
    recipe: WaterFatRecipe,
    folder: Path,
    *,
    resume: bool = False,
    checkpoint_minutes: float = 10.0,
    minutes: float = math.inf,
    tell: Tell = lambda step, n_steps, loss, figures: None,
) -> Outcome:
    """Train on the CPU, and write weights, card, checkpoint and log to `folder` as `training.trainer.train` does.

    The weights written are the moving average with the least loss on scans that were held out; still others calibrate
    its σ. Raises `ValueError`.
    """
    end = time.perf_counter() + 60 * minutes
    with held_folder(folder, writes=True):
        training = _Training(recipe, folder, resume=resume)
        with listening(until=end) as told:
            return training.run(60 * checkpoint_minutes, told, tell)


class _Training:
    def __init__(self, recipe: WaterFatRecipe, folder: Path, *, resume: bool) -> None:
        self.recipe, self.folder = recipe, folder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            network = recipe.build()
        adam = torch.optim.Adam(network.parameters(), recipe.optimiser.learning_rate, fused=True)
        self.state = State(network, MovingAverage(network, recipe.optimiser.ema), adam)
        self.checkpoint = folder / f"{recipe.name}.checkpoint"
        content = recipe.model_dump(mode="json", exclude={"description", "limits", "validation"})
        del content["optimiser"]["steps"]  # a training that ended too early may go on
        self.identity = json.dumps(content, sort_keys=True)
        if resume:
            self._restore()
        self._best = self.state.average.network
        self._slices = material.slices(recipe, "training", recipe.scans.n_scans)
        self._held_out = material.slices(recipe, "validation", recipe.validation.scans)

    def _restore(self) -> None:
        content = load_checkpoint(self.checkpoint)
        if content.get("identity") != self.identity:
            raise ValueError(f"{self.checkpoint}: the checkpoint is of another recipe; start without resuming")
        try:
            self.state.restore(content)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise ValueError(f"{self.checkpoint}: the checkpoint is damaged; start without resuming") from error
        if self.state.step > self.recipe.optimiser.steps:
            done = counted(self.state.step, "step is", "steps are")
            raise ValueError(f"{self.checkpoint}: {done} done, but {self.recipe.optimiser.steps} wanted")
        self.state.best = {}  # the weights of then are not kept

    def run(self, checkpoint_seconds: float, told: Told, tell: Tell) -> Outcome:
        state, recipe, n_steps = self.state, self.recipe, self.recipe.optimiser.steps
        started, saved = time.perf_counter() - state.seconds, time.perf_counter()
        figures: dict[str, float] = {}
        with closing(History(self.folder, first_step=state.step)) as history:
            try:
                while state.step < n_steps and not told.to_stop:
                    figures = self._one_step(history, figures, tell)
                    state.seconds = time.perf_counter() - started
                    if time.perf_counter() - saved > checkpoint_seconds:
                        self._save()
                        saved = time.perf_counter()
            finally:
                self._save()
        if state.best:
            validation = recipe.validation
            slices = material.slices(recipe, "calibration", validation.calibration)
            self._ship(*calibrate(self._best, slices, validation.bins))
        return Outcome(state.step, n_steps, 0, state.best.get("figures", {}), state.seconds)

    def _one_step(self, history: History, figures: dict[str, float], tell: Tell) -> dict[str, float]:
        """Step, validate if it is time, and tell; return the latest figures."""
        state, recipe = self.state, self.recipe
        rate = learning_rate(recipe.optimiser, state.step, recipe.optimiser.steps)
        loss = self._step(self._batch(), rate)
        is_due = state.step % recipe.validation.every == 0 or state.step == recipe.optimiser.steps
        if is_due:
            figures = self._validate()
        if is_due or state.step % ROW_EVERY == 0:
            row = {"step": state.step, "loss": state.mean_loss(), "learning_rate": rate, "skipped": 0,
                   "seconds": state.seconds}  # fmt: skip
            history.append({**row, **({"validation_loss": figures["validation_loss"]} if is_due else {})})
        tell(state.step, recipe.optimiser.steps, loss, figures)
        return figures

    def _batch(self) -> Example:
        """Draw the slices of a step and how they are turned: a function of seed and step alone."""
        rng = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.state.step)
        batch = self.recipe.optimiser.batch
        chosen = torch.randint(len(self._slices), (batch,), generator=rng).tolist()
        return example_of([self._slices[at] for at in chosen], torch.randint(TURNS, (batch,), generator=rng).tolist())

    def _step(self, example: Example, rate: float) -> float:
        """Descend by the gradient of a batch. Raises `ValueError` where it is not finite."""
        state = self.state
        loss = water_fat_loss(state.network(example.echoes, example.noise, example.r2star, example.b0), example)
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(state.network.parameters(), self.recipe.optimiser.clip or math.inf)
        if not math.isfinite(float(norm)):
            raise ValueError(f"step {state.step}: the gradient is not finite; lower the learning rate")
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        state.optimiser.step()
        state.average.update(state.network)
        state.step, state.loss_sum, state.n_losses = state.step + 1, state.loss_sum + loss.item(), state.n_losses + 1
        return loss.item()

    def _validate(self) -> dict[str, float]:
        state = self.state
        figures = validate(state.average.network, self._held_out)
        if not state.best or figures["validation_loss"] < state.best["figures"]["validation_loss"]:
            state.best = {"figures": figures, "step": state.step}
            self._best = copy.deepcopy(state.average.network)
            self._ship(figures, {})
        return figures

    def _ship(self, metrics: dict[str, float], tables: dict[str, Reliability]) -> None:
        """Write the best network, until the training ends without what corrects its σ."""
        recipe = self.recipe
        save_model(self.folder, {
            "name": recipe.name,
            "network": {"name": recipe.network.name, "config": recipe.network.settings},
            "supervision": recipe.kind,
            "trained_on": "simulated scans of random bodies of water and fat",
            "recipe": recipe.text(), "seed": recipe.seed, "steps": self.state.best["step"],
            "date": datetime.date.today(),
            "limits": _limits(recipe),
            "echoes": _seen(recipe.scans.echoes),
            "metrics": metrics, "reliability": tables,
        }, self._best)  # fmt: skip

    def _save(self) -> None:
        save_checkpoint(self.checkpoint, {"identity": self.identity, **self.state.content()})


def _limits(recipe: WaterFatRecipe) -> Limits:
    most = most_acceleration(recipe.scans.matrix, recipe.scans.acceleration[1])
    return Limits(acceleration=(1.0, round((1 + MARGIN) * most, 2)), matrix=recipe.limits.matrix, acs_lines=0,
                  sampling=("lines", "spokes"))  # fmt: skip


def _seen(n_echoes: tuple[int, int]) -> EchoLimits:
    """Which echoes its scans may have, from, to."""
    drawn = {name: tuple(round(end, 2) for end in ends) for name, ends in drawn_echoes(n_echoes).items()}
    weakest, strongest = drawn.pop("field_t")
    return EchoLimits(number=n_echoes, **drawn, field_t=(weakest - FIELD_MARGIN, strongest + FIELD_MARGIN))
