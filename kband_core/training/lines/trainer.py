"""Train a line evaluator: it learns how wrong each line of the quick image is, at every step of simulated scans.

The reconstruction stays as it is; nothing is adversarial. The logarithm of a line's squared error is regressed, of all
lines, at states of scans that other choices have led to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from kband_core.active.orders import central
from kband_core.active.progress import Progress, line_errors
from kband_core.networks.line_evaluator import N_MARGINS, LineEvaluator
from kband_core.training.lines.recipe import LinesRecipe
from kband_core.training.lines.varied_scans import varied_kspace

AT_ONCE = 30  # scans that are followed together
BATCH = 32
LOOKAHEAD = 4  # lines ahead, at most, that decisions are made for
FAINTEST = 1e-7  # share of the squared error
ONE_IN = 6  # scans that are held out
ACQUIRED_WEIGHT = 0.2  # of lines that came: they count in the error of the image, but nobody chooses them

Tell = Callable[[int, int, float], object]


class Followed(NamedTuple):
    """Scans from their first decision to half of k-space: features `(step, b, feature, ky)` without lines to come, the
    logarithm of each line's error `(step, b, ky)`, the line that came next `(step, b)`, and the NMSE `(step, b)`."""

    features: Tensor
    errors: Tensor
    chosen: Tensor
    nmse: Tensor


def simulated_scans(recipe: LinesRecipe) -> Iterator[Tensor]:
    """Yield k-space `(coil, ky, kx)` of every scan of a recipe, the sizes in turn, each with a seed of its own."""
    for number in range(recipe.scans):
        rng = torch.Generator().manual_seed((recipe.seed << 20) + number)
        yield varied_kspace(recipe.matrix[number % len(recipe.matrix)], rng)


def follow(
    kspace: Tensor, acs_lines: int, rng: torch.Generator, evaluator: LineEvaluator | None = None
) -> Followed:
    """Follow scans `(b, coil, ky, kx)`: lines come by their true errors, or by an evaluator's, more or less.

    How much more or less is drawn for each scan, so that good and bad choices are seen.
    """
    n_scans, n_lines = len(kspace), kspace.shape[-2]
    now = Progress.begun(kspace, central(n_lines, acs_lines))
    true, each, steps = now.true_lines(), torch.arange(n_scans), []
    spread = 2 * torch.rand(n_scans, 1, generator=rng).square()
    habit = torch.randn(n_scans, n_lines, generator=rng)
    for _ in range(n_lines // 2 - acs_lines + 1):
        predicted = now.predicted()
        features = now.features(predicted, torch.zeros_like(now.acquired))
        errors = line_errors(predicted, true)
        logs = errors.clamp(min=FAINTEST).log10()
        with torch.no_grad():
            scores = logs if evaluator is None else evaluator(features)
        scores = scores + 0.7 * spread * (habit + torch.randn(n_scans, n_lines, generator=rng))
        chosen = scores.masked_fill(now.acquired, -torch.inf).argmax(-1)
        steps.append((features, logs, chosen, errors.sum(-1)))
        now.acquired[each, chosen] = True
    return Followed(*map(torch.stack, zip(*steps, strict=True)))


def train_evaluator(recipe: LinesRecipe, scans: list[Tensor], tell: Tell = lambda *_: None) -> LineEvaluator:
    """Train on scans, and tell step, number of steps and loss. The same recipe gives the same weights."""
    rng = torch.Generator().manual_seed(recipe.seed)
    torch.manual_seed(recipe.seed)
    evaluator = LineEvaluator(width=recipe.width)
    held_out, trained_on = scans[:: ONE_IN], [scan for n, scan in enumerate(scans) if n % ONE_IN]
    seen: list[Followed] = []
    for number in range(recipe.rounds):
        seen += _followed_all(trained_on, recipe.acs_lines, rng, evaluator if number else None)
        _train_round(evaluator, seen, recipe, rng, lambda step, loss, first=number * recipe.steps: tell(
            first + step, recipe.rounds * recipe.steps, loss))  # fmt: skip
    evaluator.eval().requires_grad_(False)
    evaluator.margin.copy_(margins(evaluator, _followed_all(held_out, recipe.acs_lines, rng, evaluator)))
    return evaluator


def margins(evaluator: LineEvaluator, followed: list[Followed], share: float = 0.9) -> Tensor:
    """Return by which factor a `share` of the images had at most more error than was told: `(N_MARGINS,)`, by the part
    of k-space that was measured. Parts that were not seen have the margin of the nearest one that was."""
    ratios: list[list[float]] = [[] for _ in range(N_MARGINS)]
    for scans in followed:
        told = (10 ** evaluator(scans.features.flatten(0, 1))).sum(-1).view_as(scans.nmse)
        n_lines = scans.errors.shape[-1]
        first = n_lines // 2 + 1 - len(scans.nmse)
        for step, of_step in enumerate((scans.nmse / told).tolist()):
            ratios[(first + step) * N_MARGINS // n_lines] += of_step
    known = {n: float(torch.tensor(of_part).quantile(share)) for n, of_part in enumerate(ratios) if of_part}
    return torch.tensor([known[min(known, key=lambda other: abs(other - n))] for n in range(N_MARGINS)])


def _followed_all(
    scans: list[Tensor], acs_lines: int, rng: torch.Generator, evaluator: LineEvaluator | None
) -> list[Followed]:
    sizes = sorted({scan.shape[-2] for scan in scans})
    by_size = [torch.stack([scan for scan in scans if scan.shape[-2] == size]) for size in sizes]
    return [follow(part, acs_lines, rng, evaluator) for alike in by_size for part in alike.split(AT_ONCE)]


def _train_round(
    evaluator: LineEvaluator, seen: list[Followed], recipe: LinesRecipe, rng: torch.Generator,
    tell: Callable[[int, float], object],
) -> None:  # fmt: skip
    optimiser = torch.optim.Adam(evaluator.parameters(), recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total_steps=recipe.steps)
    for step in range(1, recipe.steps + 1):
        features, errors, is_settled = _batch(seen, rng)
        weight = torch.where(is_settled, ACQUIRED_WEIGHT, 1.0)
        apart = torch.nn.functional.smooth_l1_loss(evaluator(features), errors, reduction="none", beta=0.3)
        loss = (weight * apart).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        tell(step, float(loss.detach()))


def _batch(seen: list[Followed], rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw states, some with lines to come, whose errors are those when these have come."""
    scans = seen[int(torch.randint(len(seen), (), generator=rng))]
    ahead = int(torch.randint(min(LOOKAHEAD, len(scans.nmse)), (), generator=rng))
    at = torch.randint(len(scans.nmse) - ahead, (BATCH,), generator=rng)
    which, each = torch.randint(scans.nmse.shape[1], (BATCH,), generator=rng), torch.arange(BATCH)
    features = scans.features[at, which].clone()
    for later in range(ahead):
        features[each, 6, scans.chosen[at + later, which]] = 1.0
    return features, scans.errors[at + ahead, which], features[:, 5:7].amax(1) > 0
