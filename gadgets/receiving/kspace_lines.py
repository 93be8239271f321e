"""Lines put where they belong in k-space, repeated ones averaged."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gadgets.encoding import Encoding
from gadgets.mrd import ismrmrd
from gadgets.receiving.place import Place, fits_moved, to_middle


class KSpaceLines:
    """K-space under construction, by matrix row and partition of one encoding.

    kspace  complex64 [coil kz ky kx], sums over repeated lines
    counts  int [kz ky], how often each line came
    header  of the line nearest the k-space centre, whatever the order in which they came
    readout first and last+1 measured sample along kx
    """

    def __init__(self, encoding: Encoding, n_coils: int, n_samples: int) -> None:
        _, ky, kz = encoding.encoded_matrix
        self.encoding = encoding
        self.kspace = np.zeros((n_coils, kz, ky, n_samples), np.complex64)
        self.counts = np.zeros((kz, ky), np.int64)
        self.header: ismrmrd.AcquisitionHeader | None = None
        self.readout = (n_samples, 0)
        self._nearest: tuple[int, ...] = (ky + kz,)

    def add(self, line: ismrmrd.Acquisition, place: Place) -> None:
        """Add one line; it must have passed `misfit`."""
        before, after, shift = line.discard_pre, line.number_of_samples - line.discard_post, to_middle(line)
        if fits_moved(line):
            start, stop = before + shift, after + shift
            self.kspace[:, place.partition, place.row, start:stop] += line.data[:, before:after]
        else:  # moved in a circle: in the image that is a phase, the same for all coils, and no sample is lost
            start, stop = 0, self.kspace.shape[-1]
            self.kspace[:, place.partition, place.row] += np.roll(line.data, shift, axis=-1)
        self.counts[place] += 1
        self.readout = (min(self.readout[0], start), max(self.readout[1], stop))
        kz, ky = self.counts.shape
        distance = (abs(place.row - ky // 2) + abs(place.partition - kz // 2), *place, line.idx.average)
        if distance < self._nearest:
            self._nearest, self.header = distance, line.getHead()

    def move(self, n_rows: int) -> None:
        """Move all lines by that many rows, in a circle: in the image a phase, the same for all coils."""
        self.kspace, self.counts = np.roll(self.kspace, n_rows, axis=2), np.roll(self.counts, n_rows, axis=1)

    def averaged(self) -> Tensor:
        """K-space [coil kz ky kx] with each line divided by how often it came."""
        if self.counts.max(initial=0) <= 1:
            return torch.from_numpy(self.kspace)
        return torch.from_numpy(self.kspace / np.maximum(self.counts, 1).astype(np.float32)[..., None])
