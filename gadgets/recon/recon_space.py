"""Where an image lies: from the matrix that was encoded to the one that is shown."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gadgets.encoding import Encoding
from gadgets.items import ReconBuffer
from kband_core.fourier import interpolate, resize
from kband_core.sampling import Trajectory


@dataclass(frozen=True)
class ReconSpace:
    """How the images of a buffer are shown.

    `n_samples` along the readout tells whether its oversampling was removed before; None along a trajectory, whose
    images have the pixels of the recon matrix along y and x, and are cropped to it. `turned`: planes are
    (z, y), one for each x.
    """

    encoding: Encoding
    n_samples: int | None
    turned: bool

    @classmethod
    def of(cls, buffer: ReconBuffer) -> ReconSpace:
        """Tell it of a buffer."""
        if isinstance(buffer.sampling, Trajectory):
            return cls(buffer.encoding, None, False)
        return cls(buffer.encoding, buffer.kspace.shape[-3 if buffer.turned else -1], buffer.turned)

    def shown(self, image: Tensor) -> Tensor:
        """Resample and crop images from the encoded to the recon space: `(..., z, y, x)`, if turned `(..., x, z, y)`.

        The pixel size follows from zero-padding or cropping k-space, the field of view from cropping or padding the
        image. Returns `(..., z, y, x)`.
        """
        if self.turned:
            image = image.movedim(-3, -1)
        samples, _, partitions = self.encoding.encoded_matrix
        fov = (self.encoding.encoded_fov[0] * (self.n_samples or samples) / samples, *self.encoding.encoded_fov[1:])
        for axis, dim in enumerate((-1, -2, -3)):
            matrix = self.encoding.recon_matrix[axis]
            if axis < 2 and self.n_samples is None:
                image = resize(image, [matrix], [dim])
                continue
            if axis == 2 and partitions == 1:
                continue
            length = max(round(matrix * fov[axis] / self.encoding.recon_fov[axis]), 1)
            if length != image.shape[dim]:
                image = interpolate(image, [length], [dim])
            if matrix != length:
                image = resize(image, [matrix], [dim])
        return image
