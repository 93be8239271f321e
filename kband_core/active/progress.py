"""The state of one image while its lines are chosen: what came, the quick image of it, and its error."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from kband_core.active.features import line_features
from kband_core.active.quick_image import lines_of, quick_image, quick_maps
from kband_core.coils import sample_energy
from kband_core.fourier import to_image


class Progress(NamedTuple):
    """K-space of images, `(b, coil, ky, x)`, in image space along x, which lines of it came, and the coil maps.

    `kspace` may hold lines that have not come: a simulation owns them all. `acquired` bool `(b, ky)`; `csm`
    `(b, coil, y, x)`.
    """

    kspace: Tensor
    acquired: Tensor
    csm: Tensor

    @classmethod
    def begun(cls, kspace: Tensor, acs: slice) -> Progress:
        """Begin with the central lines: `kspace` `(b, coil, ky, kx)`."""
        acquired = torch.zeros(len(kspace), kspace.shape[-2], dtype=torch.bool, device=kspace.device)
        acquired[:, acs] = True
        csm = quick_maps(kspace[..., acs, :], kspace.shape[-2:])
        return cls(to_image(kspace, (-1,)), acquired, csm)

    def predicted(self) -> Tensor:
        """All lines as the quick image has them, `(b, coil, ky, x)`."""
        return lines_of(quick_image(self._measured(), self.acquired, self.csm), self.csm)

    def features(self, predicted: Tensor, coming: Tensor) -> Tensor:
        """What an evaluator is shown: `(b, feature, ky)`."""
        return line_features(self._measured(), self.acquired, coming, predicted)

    def true_lines(self) -> Tensor:
        """All lines of the image that no line is missing from; of a simulation."""
        return lines_of((self.csm.conj() * to_image(self.kspace, (-2,))).sum(-3), self.csm)

    def _measured(self) -> Tensor:
        return self.kspace * self.acquired[:, None, :, None]


def line_errors(predicted: Tensor, true: Tensor) -> Tensor:
    """Squared error of each line over the energy of all: `(b, ky)`; its sum is the image's NMSE."""
    return sample_energy(predicted - true).sum((-3, -1)) / sample_energy(true).sum((-3, -2, -1))[:, None]
