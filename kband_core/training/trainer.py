"""Train a network by a recipe: step, validate, keep the best, write weights and a model card."""

from __future__ import annotations

import datetime
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from kband_core.models import save_model
from kband_core.plural import counted
from kband_core.training.batches import Batches, load, to_device
from kband_core.training.checkpoint import load_checkpoint, save_checkpoint
from kband_core.training.divergence import Divergence
from kband_core.training.ema import MovingAverage
from kband_core.training.example import Example
from kband_core.training.first_network import earlier_trainings, first_network
from kband_core.training.folder import held_folder
from kband_core.training.history import History
from kband_core.training.limits import covered
from kband_core.training.material import find_material
from kband_core.training.peers import no_better_than_sense
from kband_core.training.processes import Processes, processes
from kband_core.training.recipe import Recipe
from kband_core.training.state import State, learning_rate, take_step
from kband_core.training.stopping import Told, listening
from kband_core.training.validation import Validation

log = logging.getLogger(__name__)

ROW_EVERY = 50  # steps
FUSED = ("cpu", "cuda")  # devices on which Adam is one kernel: a fourth of the time on a CPU
SAMES = (  # in checkpoint and recipe
    "network", "pretrained", "pretrained_unrolls", "pretrained_share", "supervision", "data", "optimiser", "seed",
)  # fmt: skip

Tell = Callable[[int, int, float, Mapping[str, float]], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a training: steps done of those wanted, steps skipped, the best validation, seconds in all."""

    step: int
    n_steps: int
    n_skipped: int
    figures: Mapping[str, float]
    seconds: float


def train(
    recipe: Recipe,
    folder: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    fold: tuple[int, int] | None = None,
    n_workers: int = 1,
    checkpoint_minutes: float = 10.0,
    minutes: float = math.inf,
    tell: Tell = lambda step, n_steps, loss, figures: None,
) -> Outcome:
    """Train and write `<name>.safetensors` and its card `<name>.yaml`, `<name>.checkpoint` and `log.csv` to `folder`.

    The weights written are the moving average at its best validation, by PSNR. Every example is a function of seed,
    step and place in the batch: neither `n_workers`, nor the number of processes, nor an interruption changes it.
    Resumed with other steps than before, it goes on along the schedule of the new number. `fold` is (number, of so
    many). After `minutes` no step begins, and the checkpoint is written, as at a signal and at any error. `tell` hears
    step, steps, loss and latest figures. Raises `ValueError`.
    """
    end = time.perf_counter() + 60 * minutes
    with processes(device) as own, listening(until=end) as told:
        training = _Training(recipe, folder, fold, own)
        with held_folder(folder, writes=own.rank == 0):
            if resume:
                training.restore()
            with training.kept_whatever_happens():
                return training.run(n_workers, 60 * checkpoint_minutes, told, tell)


class _Training:
    """One process' part in a training."""

    def __init__(self, recipe: Recipe, folder: Path, fold: tuple[int, int] | None, own: Processes) -> None:
        optimiser = recipe.optimiser
        if optimiser.batch % own.n_ranks:
            raise ValueError(f"a batch of {optimiser.batch} cannot be shared by {own.n_ranks} processes")
        self.recipe, self.folder, self.own = recipe, folder, own
        self.material = find_material(recipe, fold)
        self.earlier = [each.model_dump() for each in earlier_trainings(recipe)]
        self.limits = covered(recipe, self.material)
        self.n_steps = optimiser.steps or optimiser.epochs * self.material.scans.steps_per_epoch(optimiser.batch)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            network = first_network(recipe).to(own.device)
        fused = own.device.type in FUSED
        adam = torch.optim.Adam(network.parameters(), optimiser.learning_rate, fused=fused)
        self.state = State(network, MovingAverage(network, optimiser.ema, recipe.pretrained_share), adam)
        self.checkpoint = folder / f"{recipe.name}.checkpoint"
        content = recipe.model_dump(mode="json", include=set(SAMES))
        for length in ("steps", "epochs"):  # a training that ended too early may go on
            del content["optimiser"][length]
        if not recipe.pretrained_share:  # which earlier checkpoints do not know
            del content["pretrained_share"]
        if self.material.digest:  # a file may be moved, or be another one under the same name
            content["data"]["planes"] = self.material.digest
        self.identity = json.dumps([content, fold], sort_keys=True)
        self._saved_step, self._divergence = 0, Divergence()

    def restore(self) -> None:
        """Go on from the checkpoint. Raises `ValueError` if it is of another training, or damaged."""
        content = load_checkpoint(self.checkpoint)
        if content.get("identity") != self.identity:
            raise ValueError(
                f"{self.checkpoint}: the checkpoint is of another recipe, other planes, another fold or an earlier "
                "version of kband; start without resuming"
            )
        try:
            self.state.restore(content)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise ValueError(f"{self.checkpoint}: the checkpoint is damaged; start without resuming") from error
        if self.state.step > self.n_steps:
            raise ValueError(
                f"{self.checkpoint}: {counted(self.state.step, 'step is', 'steps are')} done, but {self.n_steps} "
                "wanted"
            )
        self.earlier = content.get("pretrained", self.earlier)  # another model may bear the name by now
        self._saved_step = self.state.step

    @contextmanager
    def kept_whatever_happens(self) -> Iterator[None]:
        """Write a checkpoint of all steps that are done when an error ends the training, if there is room for one."""
        try:
            yield
        except BaseException:
            if self.state.is_whole and self.state.step > self._saved_step:
                with suppress(OSError):
                    self._save()
            raise

    def run(self, n_workers: int, checkpoint_seconds: float, told: Told, tell: Tell) -> Outcome:
        state, recipe = self.state, self.recipe
        supervise = recipe.supervision.build()
        validation = Validation(recipe, self.material.held_out, self.material.held_out_indices)
        figures: dict[str, float] = {}
        started, saved = time.perf_counter() - state.seconds, time.perf_counter()
        with closing(History(self.folder, first_step=state.step, writes=self.own.rank == 0)) as history:
            if self._is_due() and state.judged < state.step:  # an error came between
                figures = self._judge(validation, history)
                self._log(history, figures)
            for example in self._examples(n_workers, told):
                rate = learning_rate(recipe.optimiser, state.step, self.n_steps)
                loss, stop = take_step(
                    state, to_device(example, self.own.device), supervise,
                    rate=rate, clip=recipe.optimiser.clip, processes=self.own, stop=told.to_stop,
                )  # fmt: skip
                if (problem := self._divergence.problem(loss)) and self.own.rank == 0:
                    log.warning("step %d: %s", state.step, problem)
                if self._is_due():
                    figures = self._judge(validation, history)
                state.seconds = time.perf_counter() - started
                if self._is_due() or state.step % ROW_EVERY == 0:
                    self._log(history, figures if self._is_due() else {})
                tell(state.step, self.n_steps, loss, figures)
                if time.perf_counter() - saved > checkpoint_seconds:
                    self._save()
                    saved = time.perf_counter()
                if stop:
                    break
            if state.step > self._saved_step:
                self._save()
        return Outcome(state.step, self.n_steps, state.n_skipped, state.best.get("figures", {}), state.seconds)

    def _is_due(self) -> bool:
        """Whether the step that was done last is one after which the network is validated."""
        step = self.state.step
        return step > 0 and (step % self.recipe.validation.every == 0 or step == self.n_steps)

    def _judge(self, validation: Validation, history: History) -> dict[str, float]:
        state = self.state
        figures = validation.judge(state.average.network, self.own)
        self._keep_the_best(figures)
        if history.shows_pictures:
            history.show(validation.picture(state.average.network, self.own.device), state.step)
        state.judged = state.step
        return figures

    def _log(self, history: History, figures: Mapping[str, float]) -> None:
        state = self.state
        loss, rate = state.mean_loss(), learning_rate(self.recipe.optimiser, state.step - 1, self.n_steps)
        row = {"step": state.step, "loss": loss, "learning_rate": rate, **figures}
        history.append({**row, "skipped": state.n_skipped, "seconds": state.seconds})

    def _examples(self, n_workers: int, told: Told) -> Iterator[Example]:
        batches = Batches(
            self.material.scans, self.recipe.supervision, self.recipe.optimiser.batch, self.own.rank, self.own.n_ranks
        )
        try:
            yield from load(batches, self.state.step, self.n_steps, n_workers=n_workers)
        except RuntimeError as error:
            if not told.by_signal:  # a signal to the whole process group ends the workers too
                raise ValueError(
                    f"a process that prepares examples ended ({' '.join(str(error).split())}); where memory is short, "
                    "fewer --workers need less; go on with --resume"
                ) from error

    def _keep_the_best(self, figures: Mapping[str, float]) -> None:
        if self.state.best and _merit(figures) <= _merit(self.state.best["figures"]):
            return
        self.state.best = {"figures": dict(figures), "step": self.state.step}
        if self.own.rank == 0:
            save_model(self.folder, self._card(), self.state.average.network)

    def _save(self) -> None:
        if self.own.rank == 0:
            told = {"identity": self.identity, "pretrained": self.earlier}
            save_checkpoint(self.checkpoint, {**told, **self.state.content()})
        self._saved_step = self.state.step

    def _card(self) -> dict[str, object]:
        recipe = self.recipe
        return {
            "name": recipe.name,
            "network": {"name": recipe.network.name, "config": recipe.network.settings},
            "supervision": recipe.supervision.name,
            "trained_on": self.material.description,
            "recipe": recipe.text(),
            "seed": recipe.seed,
            "steps": self.state.step,
            "date": datetime.date.today(),
            "limits": self.limits,
            "metrics": self.state.best["figures"],
            "pretrained": self.earlier,
            "warning": no_better_than_sense(self.state.best["figures"]),
        }


def _merit(figures: Mapping[str, float]) -> float:
    """Return the mean PSNR, in which every plane counts alike, as not in a mean of NMSE; else minus the loss."""
    return figures["psnr"] if "psnr" in figures else -figures["validation_loss"]
