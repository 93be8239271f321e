"""How much of the noise a network is told of: told of less, it takes less for noise, and keeps faint detail."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from gadgets.errors import PipelineError
from gadgets.gadget import field
from gadgets.recon.trial_planes import SMALL, noise_planes
from kband_core.models import Card, load_model
from kband_core.reconstruct import network_sets

Denoising = Annotated[
    float,
    field(ge=0.1, le=1, description="share of the noise that the network is told; less keeps faint detail, and noise"),
]


def require_denoising(who: str, card: Card, *, is_bounded: bool = False, adapts: bool = False) -> None:
    """Raise `PipelineError`, in the name of gadget `who`, where a network cannot be told of less noise.

    `is_bounded`, `adapts`: whether a bound of its error, or learning from each image, is asked for, to both of which
    the noise was told that there is.
    """
    if is_bounded or adapts:
        name = "uncertainty" if is_bounded else "adapt_seconds"
        raise PipelineError(f"{who}.denoising: {name} holds for all of the noise; leave one out")
    if not _hears(load_model(card)):
        raise PipelineError(f"{who}.denoising: model '{card.name}' makes the same image whatever noise it is told of")


def _hears(module: nn.Module) -> bool:
    """Whether the noise that a network is told of makes a difference."""
    kspace, sampling, csm = noise_planes(torch.device("cpu"), 2, SMALL)
    loud, quiet = (network_sets(kspace, sampling, csm, module, torch.full((1,), level)) for level in (1.0, 0.1))
    return not torch.equal(loud, quiet)
