"""Images of a trained network whose errors are known, on scans simulated as those it was trained on, and wider."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.coils import merge_sets
from kband_core.model_card import Card
from kband_core.models import load_model
from kband_core.plain_yaml import read_yaml
from kband_core.training.batches import stack, to_device
from kband_core.training.recipe import Recipe, parse_recipe
from kband_core.training.scans import ProceduralScans, generator
from kband_core.uncertainty.evidence import evidence

KINDS = ("textured", "textured", "textured", "cartoon")  # of objects, in turn: networks are trained on one kind alone


@dataclass(frozen=True)
class JudgedScan:
    """An image, what is known of its error, and what all samples show: `(y, x)` in units of the brightness.

    `evidence` half precision `(14, y, x)`; `image` and `reference` are magnitudes, through the same coil maps; `mapped`
    tells where there are maps.
    """

    evidence: Tensor
    image: Tensor
    reference: Tensor
    mapped: Tensor

    @property
    def error(self) -> Tensor:
        """How far the image is from the reference in each pixel."""
        return (self.image - self.reference).abs()

    @property
    def nmse(self) -> Tensor:
        """The error's energy over that of the reference."""
        return self.error.square().sum() / self.reference.square().sum()


def judged_scans(card: Card, n_scans: int, *, seed: str, device: torch.device) -> Iterator[JudgedScan]:
    """Simulate so many scans like those of the recipe of a model, undersampled as there, and judge its images of them.

    They are a wider family than the recipe's: of flat tissues besides, and of matrices down to the least of the card,
    where more of the energy lies at the rim of k-space. Scans of one `seed` are always the same. Raises `ValueError`
    for a model that was not trained on simulated scans.
    """
    recipe, model = _recipe(card), load_model(card, device)
    supervise, procedural = recipe.supervision.full_extent(), recipe.data.procedural
    matrix = min(card.limits.matrix[0], procedural.matrix[0]), procedural.matrix[1]
    for number in range(n_scans):
        drawn = procedural.model_copy(update={"objects": KINDS[number % len(KINDS)], "matrix": matrix})
        plane = ProceduralScans(drawn, 1, seed=f"{seed} {number}", run=1)[0]
        one = to_device(stack([supervise(plane, generator(seed, "lines", number))]), device)
        operator = one.operator()
        with torch.no_grad():
            image = model(one.kspace, operator, one.noise)
        yield JudgedScan(
            evidence(image, one.kspace, operator, one.noise)[0].half().cpu(), merge_sets(image).abs()[0].cpu(),
            one.reference()[0].cpu(), (one.csm[0] != 0).any(0).any(0).cpu(),
        )  # fmt: skip


def _recipe(card: Card) -> Recipe:
    recipe = parse_recipe(read_yaml(card.recipe.encode()), card.name)
    if recipe.data.procedural is None:
        raise ValueError(f"model '{card.name}' was trained on planes of a file; one of simulated scans expected")
    return recipe
