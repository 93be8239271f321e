"""How much of the fine detail of an image is right, which PSNR hardly tells: edges and texture hold little energy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from kband_core.fourier import to_kspace
from kband_core.quality import weighted_error_by_radius

OUTER = (0.5, 2.0)  # of the radius of k-space, 1 at the end of each axis; the corners belong to it
WINDOW = 5  # pixels; a sulcus is as wide at 1 to 2 mm


def outer_error(image: Tensor, reference: Tensor) -> float:
    """Return the NMSE of the k-space of two magnitudes `(y, x)` beyond half its radius.

    Half the radius holds details finer than two pixels of a half wave. There the reference is noise in part, which no
    image can have: of an image without any detail it is 1.
    """
    whole = torch.ones(image.shape)
    spectra = (to_kspace(each.to(torch.complex64))[None] for each in (image, reference))
    return float(weighted_error_by_radius(*spectra, whole.bool(), whole, edges=OUTER)[0])


def contrast_error(image: Tensor, reference: Tensor, within: Tensor) -> float:
    """Return by how much local contrast is wrong: ‖s − t‖ / ‖t‖ of the standard deviations of 5 × 5 pixels.

    s is that of the image, t that of the reference, both magnitudes `(y, x)`, of every window that lies `within` the
    head, bool `(y, x)`. What is flattened has too little of it, what is noisy too much; where it lies does not count.
    """
    inside = _means(within.double()) > 1 - 1e-6
    s, t = (_deviation(each.double())[inside] for each in (image, reference))
    return float(torch.linalg.vector_norm(s - t) / torch.linalg.vector_norm(t))


def _deviation(image: Tensor) -> Tensor:
    return (_means(image.square()) - _means(image).square()).clamp(min=0).sqrt()


def _means(image: Tensor) -> Tensor:
    return avg_pool2d(image[None, None], WINDOW, stride=1)[0, 0]
