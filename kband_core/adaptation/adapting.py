"""A network taught by the scan it is for, as long as lines that it is not taught by gain."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kband_core.adaptation.learner import Learner
from kband_core.adaptation.stopping import EVERY, StoppingRule
from kband_core.sampling import Grid

STEPS = 40  # at most: beyond them images became worse while held-out lines still gained


@dataclass(frozen=True)
class Adapted:
    """A network that was taught by a scan, or the very one that came where that gains nothing; and how it went.

    before, after  error of the lines that judge, by the network that came and by this one
    steps          that this one has learnt
    tried          steps that were made in all
    seconds        that all of it took
    """

    model: nn.Module
    before: float
    after: float
    steps: int
    tried: int
    seconds: float

    @property
    def gain(self) -> float:
        """What of the error of the lines that judge is gone."""
        return 1 - self.after / self.before


def adapt(
    model: nn.Module,
    kspace: Tensor,
    sampling: Grid,
    csm: Tensor,
    noise: Tensor,
    *,
    rng: torch.Generator,
    seconds: float = math.inf,
    steps: int = STEPS,
) -> Adapted:
    """Teach a copy of the network's last denoiser by the scan's own lines, as `Learner` does.

    Every fifth step the error of the lines that judge is looked at; what had the least stays, if that is at least 1 %
    less than before. Three looks without a gain end it, and so do `seconds`, after the step they end in: how many steps
    fit depends on the machine, and so does the network then. `model` itself never changes; where nothing is gained, or
    an error is not finite, it is the one returned.

    Arguments as of `reconstruct.network_sets`. Raises `ValueError` for a network that cannot adapt, and for too few
    lines.

    Yaman et al., Zero-shot self-supervised learning for MRI reconstruction, ICLR 2022, who teach all of it, for longer.
    """
    start = time.perf_counter()
    learner = Learner(model, kspace, sampling, csm, noise, rng=rng)
    rule, best, tried = StoppingRule(learner.error()), {}, 0
    while tried < steps and not rule.is_over:
        learner.step()
        tried += 1
        no_time = time.perf_counter() - start >= seconds
        if (tried % EVERY == 0 or no_time) and rule.look(tried, learner.error()):
            best = learner.learnt()
        if no_time:
            break
    took = time.perf_counter() - start
    if not rule.has_gained:
        return Adapted(model, rule.before, rule.before, 0, tried, took)
    return Adapted(learner.model_with(best), rule.before, rule.least, rule.step, tried, took)
