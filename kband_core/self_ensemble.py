"""Guises of a scan that are the same to physics but not to a network: the mean of its images is nearer the truth.

An image may have any global phase, and the complex conjugate of k-space is that of an image mirrored at the origin,
with the very same samples acquired. What a network makes of one guise and of another differs where it guesses.

Timofte, Rothe and Van Gool, Seven ways to improve example-based single image super resolution, CVPR 2016, section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Guise:
    """The image, or, `mirrored`, the complex conjugate of it at −r, times `turn` of modulus 1."""

    turn: complex
    mirrored: bool

    def of_scan(self, kspace: Tensor, csm: Tensor) -> tuple[Tensor, Tensor]:
        """Return k-space `(..., coil, ky, kx)` and maps `(..., set, coil, y, x)` of the image in this guise.

        The samples acquired stay where they are.
        """
        if self.mirrored:
            kspace, csm = kspace.conj(), conjugate_mirror(csm)
        return self.turn * kspace, csm

    def undone(self, image: Tensor) -> Tensor:
        """Return an image `(..., y, x)` out of this guise."""
        image = image / self.turn
        return conjugate_mirror(image) if self.mirrored else image


GUISES = Guise(-1, mirrored=False), Guise(1j, mirrored=True), Guise(-1j, mirrored=True)  # beside the scan as it is


def conjugate_mirror(image: Tensor) -> Tensor:
    """Return the complex conjugate of `(..., y, x)` at −r, of which the origin is at N//2 and the border wraps around.

    Its k-space is the complex conjugate.
    """
    back = [1 - length % 2 for length in image.shape[-2:]]
    return image.flip(-2, -1).roll(back, (-2, -1)).conj_physical()
