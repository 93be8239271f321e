"""Where an image lies: from the matrix that was encoded to the one that is shown."""

from __future__ import annotations

from torch import Tensor

from gadgets.encoding import Encoding
from kband_core.fourier import interpolate, resize


def to_recon_space(image: Tensor, encoding: Encoding, n_samples: int) -> Tensor:
    """Resample and crop images `(..., z, y, x)` from the encoded to the recon space.

    The pixel size follows from zero-padding or cropping k-space, the field of view from cropping or padding the image.
    `n_samples` along the readout tells whether its oversampling was removed before.
    """
    samples, _, partitions = encoding.encoded_matrix
    fov = (encoding.encoded_fov[0] * n_samples / samples, *encoding.encoded_fov[1:])
    for axis, dim in enumerate((-1, -2, -3)):
        if axis == 2 and partitions == 1:
            continue
        matrix = encoding.recon_matrix[axis]
        length = max(round(matrix * fov[axis] / encoding.recon_fov[axis]), 1)
        if length != image.shape[dim]:
            image = interpolate(image, [length], [dim])
        if matrix != length:
            image = resize(image, [matrix], [dim])
    return image
