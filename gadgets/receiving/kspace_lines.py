"""Lines of one image put where they belong in k-space, repeated ones averaged."""

from __future__ import annotations

import ismrmrd
import numpy as np
import torch
from torch import Tensor

from gadgets.items import LineCount, partitions_to_image
from gadgets.scan import Encoding
from kband_core.calibration import find_acs

READ_IN_REVERSE = "it was read in reverse (flag 22), which only an EPI reconstruction can use"


class KSpaceLines:
    """K-space under construction, by matrix row and partition of one encoding.

    kspace  complex64 [coil kz ky kx], sums over repeated lines
    counts  int [kz ky], how often each line came
    header  of the line nearest the k-space centre
    readout first and last+1 measured sample along kx
    """

    def __init__(self, encoding: Encoding, n_coils: int, n_samples: int) -> None:
        _, ky, kz = encoding.encoded_matrix
        self.encoding = encoding
        self.kspace = np.zeros((n_coils, kz, ky, n_samples), np.complex64)
        self.counts = np.zeros((kz, ky), np.int64)
        self.header: ismrmrd.AcquisitionHeader | None = None
        self.readout = (n_samples, 0)
        self._nearest = ky + kz

    def add(self, acquisition: ismrmrd.Acquisition) -> None:
        """Add one line; it must have passed `misfit`."""
        row, partition = position(self.encoding, acquisition)
        before, after = acquisition.discard_pre, acquisition.number_of_samples - acquisition.discard_post
        shift = self.kspace.shape[-1] // 2 - acquisition.center_sample
        start, stop = before + shift, after + shift
        self.kspace[:, partition, row, start:stop] += acquisition.data[:, before:after]
        self.counts[partition, row] += 1
        self.readout = (min(self.readout[0], start), max(self.readout[1], stop))
        kz, ky = self.counts.shape
        distance = abs(row - ky // 2) + abs(partition - kz // 2)
        if distance < self._nearest:
            self._nearest, self.header = distance, acquisition.getHead()

    def averaged(self) -> Tensor:
        """K-space [coil kz ky kx] with each line divided by how often it came."""
        if self.counts.max(initial=0) <= 1:
            return torch.from_numpy(self.kspace)
        return torch.from_numpy(self.kspace / np.maximum(self.counts, 1).astype(np.float32)[..., None])


def position(encoding: Encoding, acquisition: ismrmrd.Acquisition) -> tuple[int, int]:
    """Row and partition of the k-space matrix that a line fills."""
    index = acquisition.idx
    return encoding.row(index.kspace_encode_step_1), encoding.partition(index.kspace_encode_step_2)


def misfit(encoding: Encoding, acquisition: ismrmrd.Acquisition) -> str | None:
    """Say why a line has no place in its encoding, or None if it has."""
    index = acquisition.idx
    for name, value, limit in (
        ("encoding step 1", index.kspace_encode_step_1, encoding.step1),
        ("encoding step 2", index.kspace_encode_step_2, encoding.step2),
        *((counter, getattr(index, counter), limit) for counter, limit in encoding.counters.items()),
    ):
        if limit is not None and not limit.minimum <= value <= limit.maximum:
            return f"{name} is {value}, outside the header's limits {limit.minimum} to {limit.maximum}"
    row, partition = position(encoding, acquisition)
    _, ky, kz = encoding.encoded_matrix
    if not (0 <= row < ky and 0 <= partition < kz):
        return f"row {row}, partition {partition} is outside the {ky} × {kz} matrix"
    samples = acquisition.number_of_samples
    allowed = {encoding.readout_samples, encoding.encoded_matrix[0]}
    if samples not in allowed:
        return f"{samples} samples, {' or '.join(map(str, sorted(allowed)))} expected; asymmetric echoes need \
AsymmetricEchoAdjustROGadget before"
    shift = samples // 2 - acquisition.center_sample
    if shift < -acquisition.discard_pre or shift > acquisition.discard_post:
        return f"centre sample is {acquisition.center_sample} of {samples}, {samples // 2} expected"
    if not np.isfinite(acquisition.data.view(np.float32)).all():
        return f"{np.count_nonzero(~np.isfinite(acquisition.data))} samples are not finite numbers"
    return None


def count_lines(
    encoding: Encoding, counts: np.ndarray, on_grid: np.ndarray, *, ends_seen: bool, n_averages: int,
    gaps: np.ndarray | None = None,
) -> LineCount:  # fmt: skip
    """Count lines `counts` [kz ky] against those that the header lets expect.

    `on_grid`: bool [ky], rows of lines without a calibration flag, if there are any; they tell the R-fold grid. `gaps`:
    bool [kz ky], calibration lines that are missing, which count among the expected, once if they are the image's too.
    """
    expected = encoding.expected_rows(grid_rows(on_grid, counts), ends_seen)
    if expected is None:
        received = int(counts.sum())
        return LineCount(received, received + int(gaps.sum()) if gaps is not None and gaps.any() else None)
    wanted = counts[encoding.partitions][:, expected]
    missing = np.zeros(counts.shape, bool) if gaps is None else gaps
    if encoding.is_embedded and missing.shape == counts.shape:  # a reference scan may have a matrix of its own
        missing = missing & ~expected
    return LineCount(int(np.minimum(wanted, n_averages).sum()), wanted.size * n_averages + int(missing.sum()))


def grid_rows(on_grid: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Rows, bool [ky], that tell the R-fold grid: those of lines without a calibration flag, or all that came."""
    return on_grid if on_grid.any() else counts.any(0)


def acs_block(rows: np.ndarray) -> slice:
    """Block of rows, bool [ky], that can calibrate."""
    return find_acs(torch.from_numpy(rows))


def calibration_block(lines: Tensor, rows: slice) -> Tensor:
    """Cut the ACS out of k-space [coil kz ky kx]: [z coil ky kx], transformed to image space along z."""
    return partitions_to_image(lines[:, :, rows]).clone(memory_format=torch.contiguous_format)
