"""Readout oversampling taken away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gadgets.encoding import Encoding
from gadgets.errors import PipelineError
from gadgets.gadget import Gadget
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan


@dataclass
class RemoveROOversampling(Gadget):
    """Crop each line in image space to the reconstructed field of view along the readout.

    Samples, `center_sample` and the discards are divided by the ratio of the fields of view. The ratio is that of the
    line's own encoding; the stock gadget uses encoding 0 for all. Trajectories are thinned alike, which the stock
    gadget forgets. Lines without oversampling, and those of an encoding that the header lacks, pass unchanged.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    twin_of: ClassVar[str] = "RemoveROOversamplingGadget"

    def open(self, scan: Scan) -> None:
        """Check that no encoding is to be reconstructed to a larger field of view than was measured."""
        self._scan = scan
        for encoding in scan.encodings:
            samples = encoding.encoded_matrix[0]
            if n_kept(samples, encoding) > samples:
                raise PipelineError(
                    f"RemoveROOversamplingGadget: encoding {encoding.index} measures {encoding.encoded_fov[0]:g} mm "
                    f"along the readout, but reconstructs {encoding.recon_fov[0]:g} mm"
                )

    def process(self, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Acquisition]:
        for line in lines:
            if not self._scan.has_encoding(line.encoding_space_ref):
                yield line
                continue
            encoding = self._scan.encoding(line.encoding_space_ref)
            n_samples = n_kept(line.number_of_samples, encoding)
            is_gone = line.number_of_samples == encoding.readout_samples  # before the lines came here
            if is_gone or n_samples in (0, line.number_of_samples):
                yield line
                continue
            header = line.getHead()
            header.number_of_samples = n_samples
            for name in ("center_sample", "discard_pre", "discard_post"):
                setattr(header, name, n_kept(getattr(header, name), encoding))
            trajectory = _thinned(line.traj, n_samples) if line.traj.size else line.traj[:n_samples]
            yield ismrmrd.Acquisition(header, _cropped(line.data, n_samples), trajectory)


def n_kept(n_samples: int, encoding: Encoding) -> int:
    """Count the samples left of `n_samples`; in single precision, as the stock gadget counts.

    In double precision 384 samples over 200 mm, cropped to 133.333333 mm, would leave 255.
    """
    ratio = np.float32(encoding.encoded_fov[0]) / np.float32(encoding.recon_fov[0])
    return int(np.float32(n_samples) / ratio)


def _cropped(line: np.ndarray, n_samples: int) -> np.ndarray:
    """Centred orthonormal transform to image space, crop around N//2, and back, of `(coil, kx)`."""
    half = n_samples // 2
    image = np.fft.ifft(np.fft.ifftshift(line, axes=-1), norm="ortho")  # its origin stands first, not in the middle
    image = np.concatenate([image[:, : n_samples - half], image[:, image.shape[-1] - half :]], axis=-1)
    kspace = np.fft.fftshift(np.fft.fft(image, norm="ortho"), axes=-1)
    return kspace.astype(np.complex64, copy=False)  # NumPy 1 transforms in double precision


def _thinned(trajectory: np.ndarray, n_samples: int) -> np.ndarray:
    """Read the trajectory `(sample, dimension)` where the samples are that the cropped line has."""
    before = len(trajectory)
    where = before // 2 + (np.arange(n_samples) - n_samples // 2) * (before / n_samples)
    return np.stack([np.interp(where, np.arange(before), along) for along in trajectory.T], axis=-1).astype(np.float32)
