"""The last denoiser of an unrolled network, taught step by step by the lines of one scan."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import cycle

import torch
from torch import Tensor, nn

from kband_core.adaptation.held_out import hold_out
from kband_core.losses import normalised_loss
from kband_core.networks.modl import Modl, Unrolled
from kband_core.operators import EncodingOperator, encoding_operator
from kband_core.reconstruct import Given
from kband_core.sampling import Grid

RATE = 1e-4  # of Adam
N_SPLITS = 8  # which are learnt from in turn: each runs through the earlier unrolls once, and is remembered


def require_adaptable(model: nn.Module) -> None:
    """Raise `ValueError` for a network whose last unroll has no denoiser of its own."""
    if not isinstance(model, Modl) or len(model.denoisers) < model.unrolls:
        raise ValueError("only a network of kind modl adapts, whose unrolls do not share their denoiser")


class Learner:
    """A copy of a network, of which the last denoiser learns to predict some lines of a scan from its others.

    The lines of Γ only judge. Each step sees the others without some, Λ, and learns from these, by the normalised loss
    of SSDU; the earlier unrolls are not taught. So a step costs the last unroll and its derivatives, and the planes of
    eight splits before it are all that is remembered. Arguments as of `reconstruct.network_sets`.

    Raises `ValueError` for a network that cannot adapt, and for too few lines.
    """

    def __init__(
        self, model: nn.Module, kspace: Tensor, sampling: Grid, csm: Tensor, noise: Tensor, *, rng: torch.Generator
    ) -> None:
        require_adaptable(model)
        held_out = hold_out(sampling, N_SPLITS, rng=rng)
        self._model, self._given = copy.deepcopy(model), Given.on_grid(kspace, sampling, csm, noise)
        self._last = range(model.unrolls - 1, model.unrolls)
        self._denoiser = self._model.denoisers[-1].requires_grad_(True)
        self._optimiser = torch.optim.Adam(self._denoiser.parameters(), RATE)
        seen = sampling.within(~held_out.judging)
        self._judging = self._split(seen, sampling.within(held_out.judging))
        self._splits = cycle(self._split(seen.within(~some), seen.within(some)) for some in held_out.predicted)

    def step(self) -> None:
        """Take one step; also where the caller has turned derivatives off."""
        split = next(self._splits)
        self._optimiser.zero_grad()
        with torch.enable_grad():
            self._loss(split).backward()
        self._optimiser.step()

    @torch.no_grad()
    def error(self) -> float:
        """Tell the loss of the lines that judge."""
        return float(self._loss(self._judging))

    def learnt(self) -> dict[str, Tensor]:
        """Return a copy of the denoiser as it is."""
        return copy.deepcopy(self._denoiser.state_dict())

    def model_with(self, learnt: dict[str, Tensor]) -> nn.Module:
        """Return a network with such a denoiser, ready to infer."""
        model = copy.deepcopy(self._model).requires_grad_(False)
        model.denoisers[-1].load_state_dict(learnt)
        return model

    @torch.no_grad()
    def _split(self, seen: Grid, judging: Grid) -> _Split:
        kspace, csm = self._given.kspace * seen.mask.unsqueeze(-3), self._given.operator.csm
        begun = self._model.begin(kspace, encoding_operator(seen, csm), self._given.noise)
        before_last = self._model.unroll(begun, range(self._last.start))
        return _Split(before_last, encoding_operator(judging, csm), judging.mask.expand(len(kspace), -1, -1))

    def _loss(self, split: _Split) -> Tensor:
        image = self._model.unroll(split.before_last, self._last).image
        return normalised_loss(image, split.judging, self._given.kspace, split.mask)


@dataclass(frozen=True)
class _Split:
    """Planes of some lines before the last unroll, and the operator and the mask of those that judge the image."""

    before_last: Unrolled
    judging: EncodingOperator
    mask: Tensor
