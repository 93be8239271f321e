"""Judge a network on planes held out: images against those of all samples, where all were acquired."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from kband_core.coils import merge_sets
from kband_core.metrics import nmse, psnr, ssim
from kband_core.training.batches import stack, to_device
from kband_core.training.dataset import Plane
from kband_core.training.example import Example
from kband_core.training.peers import PEERS, peer_images
from kband_core.training.processes import Processes
from kband_core.training.recipe import Recipe
from kband_core.training.scans import generator, scan_angle
from kband_core.training.supervision import AlongSpokes

TINY = torch.finfo(torch.float32).tiny


class Validation:
    """The same examples every time: masks over the full extent of k-space, from generators of fixed seeds.

    Where no plane is fully sampled there is no reference, and the figure is the loss that training has too. Planes of
    nothing but noise, whose maps are empty, have no image and are left out; `ValueError` if there are no others.
    """

    def __init__(self, recipe: Recipe, planes: Sequence[Plane], indices: Sequence[int]) -> None:
        self._seed, self._planes = recipe.seed, planes
        chosen = ((index, planes[index]) for index in _spread(indices, recipe.validation.planes))
        shown = {index: plane.acquired.has_reference for index, plane in chosen if plane.csm.any()}
        if not shown:
            raise ValueError("validation: the planes held out show nothing but noise; make the file of planes anew")
        full = [index for index, has_reference in shown.items() if has_reference]
        self.has_reference = bool(full)
        self._indices = full or list(shown)
        self._supervise = recipe.supervision.full_extent() if full else recipe.supervision.build()
        self._peers = ("sense",) if isinstance(self._supervise, AlongSpokes) else PEERS
        self._of_peers: dict[str, float] | None = None

    def judge(self, network: nn.Module, processes: Processes) -> dict[str, float]:
        """Return the mean of each figure, and of those of SENSE and zero-filling beside it, by names such as
        `sense_psnr`; every process judges its share of the planes.

        Raises `ValueError`, in all processes alike, if a mean is not finite.
        """
        if self._of_peers is None:  # the same every time
            peers = self._means(self._peers, peer_images, processes)
            self._of_peers = {f"{peer}_{name}": value for peer, means in peers.items() for name, value in means.items()}
        figures = self._means(
            ("network",), lambda one: {"network": network(one.kspace, one.operator(), one.noise)}, processes
        )["network"]
        for name, value in figures.items():
            if not math.isfinite(value):
                n = len(self._indices)
                raise ValueError(f"validation: the mean {name} of {n} planes is {value}, a finite number expected")
        return {**figures, **self._of_peers}

    def _means(
        self, makers: Sequence[str], images_of: Callable[[Example], Mapping[str, Tensor]], processes: Processes
    ) -> dict[str, dict[str, float]]:
        """The mean of each figure over all planes, by what made the image."""
        names = ("nmse", "psnr", "ssim") if self.has_reference else ("validation_loss",)
        totals = {maker: torch.zeros(len(names), dtype=torch.float64, device=processes.device) for maker in makers}
        for number in range(processes.rank, len(self._indices), processes.n_ranks):
            example = to_device(stack([self._example(number)]), processes.device)
            with torch.no_grad():
                for maker, image in images_of(example).items():
                    totals[maker] += torch.stack(self._figures(image, example)).double()
        return {
            maker: dict(zip(names, (processes.sum(total) / len(self._indices)).tolist(), strict=True))
            for maker, total in totals.items()
        }

    def picture(self, network: nn.Module, device: torch.device) -> dict[str, Tensor]:
        """Return pictures `(y, x)` of the first plane by name, 0 black and 1 white, the same plane every time.

        They are the network's magnitude and, where all samples were acquired, theirs and the five-fold error; white is
        what 99.5 % of the pixels of the latter, or else of the network's, stay below.
        """
        example = to_device(stack([self._example(0)]), device)
        with torch.no_grad():
            magnitude = merge_sets(network(example.kspace, example.operator(), example.noise)).abs()[0]
        shown = {"network": magnitude}
        if self.has_reference:
            reference = example.reference()[0]
            shown |= {"all_samples": reference, "error_x5": 5 * (magnitude - reference).abs()}
        white = shown.get("all_samples", magnitude).flatten().quantile(0.995).clamp(min=TINY)
        return {name: (values / white).clamp(0, 1).cpu() for name, values in shown.items()}

    def _example(self, number: int) -> Example:
        plane = self._planes[self._indices[number]]
        angle = scan_angle(self._seed, plane)
        return self._supervise(plane, generator(self._seed, "validation", number), angle)

    def _figures(self, image: Tensor, example: Example) -> list[Tensor]:
        if not self.has_reference:
            return [self._supervise.loss(image, example.target_operator(), example.target, example.weight)]
        magnitude = merge_sets(image).abs()
        reference = example.reference()
        return [figure(magnitude, reference).mean() for figure in (nmse, psnr, ssim)]


def _spread(indices: Sequence[int], n: int) -> list[int]:
    """Take `n` of them, evenly over all."""
    n = min(n, len(indices))
    return [indices[(2 * number + 1) * len(indices) // (2 * n)] for number in range(n)]
