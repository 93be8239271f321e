"""Where a line belongs in k-space, or why it has no place there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gadgets.mrd import ismrmrd
from gadgets.scan import Encoding

FARTHEST = 2  # samples beside the middle; converters round odd counts, and a line read in reverse is off by one


class Place(NamedTuple):
    """Partition and row of the k-space matrix: an index into arrays [kz ky]."""

    partition: int
    row: int


def place_of(encoding: Encoding, line: ismrmrd.Acquisition) -> Place:
    """Tell which partition and row of the k-space matrix a line fills."""
    return Place(encoding.partition(line.idx.kspace_encode_step_2), encoding.row(line.idx.kspace_encode_step_1))


def to_middle(line: ismrmrd.Acquisition) -> int:
    """Count the samples by which a line is moved, so that its echo lies in the middle."""
    return line.number_of_samples // 2 - line.center_sample


def fits_moved(line: ismrmrd.Acquisition) -> bool:
    """Whether a line that is moved loses only samples that were to be discarded."""
    return -line.discard_pre <= to_middle(line) <= line.discard_post


def turned_round(line: ismrmrd.Acquisition) -> ismrmrd.Acquisition:
    """Return a line that was read from +kx to −kx as if it had been read the other way."""
    header = line.getHead()
    header.center_sample = max(line.number_of_samples - 1 - line.center_sample, 0)
    header.discard_pre, header.discard_post = line.discard_post, line.discard_pre
    turned = ismrmrd.Acquisition(header, np.ascontiguousarray(line.data[:, ::-1]), line.traj[::-1])
    turned.clear_flag(ismrmrd.ACQ_IS_REVERSE)
    return turned


def misfit(encoding: Encoding, line: ismrmrd.Acquisition) -> str | None:
    """Say why a line has no place in its encoding, or None if it has."""
    index = line.idx
    for name, value, limit in (
        ("encoding step 1", index.kspace_encode_step_1, encoding.step1),
        ("encoding step 2", index.kspace_encode_step_2, encoding.step2),
        *((counter, getattr(index, counter), limit) for counter, limit in encoding.counters.items()),
    ):
        if limit is not None and not limit.minimum <= value <= limit.maximum:
            return f"{name} is {value}, outside the header's limits {limit.minimum} to {limit.maximum}"
    partition, row = place_of(encoding, line)
    _, ky, kz = encoding.encoded_matrix
    if not (0 <= row < ky and 0 <= partition < kz):
        return f"row {row}, partition {partition} is outside the {ky} × {kz} matrix"
    samples = line.number_of_samples
    allowed = {encoding.readout_samples, encoding.encoded_matrix[0]}
    if samples not in allowed:
        return f"{samples} samples, {' or '.join(map(str, sorted(allowed)))} expected; asymmetric echoes need \
AsymmetricEchoAdjustROGadget before"
    is_whole = line.discard_pre == line.discard_post == 0
    if not fits_moved(line) and not (is_whole and abs(to_middle(line)) <= FARTHEST):
        return f"centre sample is {line.center_sample} of {samples}, {samples // 2} expected"
    if not np.isfinite(line.data.view(np.float32)).all():
        return f"{np.count_nonzero(~np.isfinite(line.data))} samples are not finite numbers"
    return None
