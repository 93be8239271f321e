"""Judge a network on planes held out: images against those of all samples, where all were acquired."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kband_core.coils import merge_sets
from kband_core.metrics import nmse, psnr, ssim
from kband_core.reconstruct import zero_filled
from kband_core.training.batches import stack, to_device
from kband_core.training.dataset import Plane
from kband_core.training.example import Example
from kband_core.training.processes import Processes
from kband_core.training.recipe import Recipe
from kband_core.training.scans import generator, scan_angle


class Validation:
    """The same examples every time: masks over the full extent of k-space, from generators of fixed seeds.

    Where no plane is fully sampled there is no reference, and the figure is the loss that training has too.
    """

    def __init__(self, recipe: Recipe, planes: Sequence[Plane], indices: Sequence[int]) -> None:
        self._seed, self._planes = recipe.seed, planes
        chosen = _spread(indices, recipe.validation.planes)
        full = [index for index in chosen if planes[index].is_full]
        self.has_reference = bool(full)
        self._indices = full or chosen
        self._supervise = recipe.supervision.full_extent() if full else recipe.supervision.build()

    def judge(self, network: nn.Module, processes: Processes) -> dict[str, float]:
        """Return the mean of each figure; every process judges its share of the planes."""
        names = ("nmse", "psnr", "ssim") if self.has_reference else ("validation_loss",)
        total = torch.zeros(len(names) + 1, dtype=torch.float64, device=processes.device)
        for number in range(processes.rank, len(self._indices), processes.n_ranks):
            example = to_device(stack([self._example(number)]), processes.device)
            with torch.no_grad():
                image = network(example.kspace, example.mask, example.csm, example.noise)
                figures = self._figures(image, example)
            total += torch.stack([*figures, torch.ones((), device=total.device)]).double()
        *sums, n = processes.sum(total).tolist()
        return {name: value / n for name, value in zip(names, sums, strict=True)}

    def _example(self, number: int) -> Example:
        plane = self._planes[self._indices[number]]
        angle = scan_angle(self._seed, plane)
        return self._supervise(plane, generator(self._seed, "validation", number), angle)

    def _figures(self, image: Tensor, example: Example) -> list[Tensor]:
        if not self.has_reference:
            return [self._supervise.loss(image, example.csm, example.target, example.weight)]
        magnitude = merge_sets(image).abs()
        reference = zero_filled(example.target, example.csm).abs()
        return [figure(magnitude, reference).mean() for figure in (nmse, psnr, ssim)]


def _spread(indices: Sequence[int], n: int) -> list[int]:
    """Take `n` of them, evenly over all."""
    n = min(n, len(indices))
    return [indices[(2 * number + 1) * len(indices) // (2 * n)] for number in range(n)]
