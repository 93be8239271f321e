"""Where a line belongs in k-space, or why it has no place there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from gadgets.encoding import Encoding, Limit
from gadgets.mrd import ismrmrd
from kband_core.fourier import resize, to_image, to_kspace

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


def without_untold_oversampling(encoding: Encoding, line: ismrmrd.Acquisition) -> ismrmrd.Acquisition:
    """Return a line that has twice the samples of its encoding without the half that lies outside its field of view.

    Headers are written that tell the matrix without the oversampling of the readout; scanners oversample by two.
    """
    samples = encoding.encoded_matrix[0]
    if line.number_of_samples != 2 * samples or encoding.readout_samples != samples:
        return line
    header = line.getHead()
    header.number_of_samples = samples
    for name in ("center_sample", "discard_pre", "discard_post"):
        setattr(header, name, getattr(header, name) // 2)
    within = resize(to_image(torch.tensor(line.data), (-1,)), [samples], (-1,))
    return ismrmrd.Acquisition(header, to_kspace(within, (-1,)).numpy(), line.traj[::2])


def turned_round(line: ismrmrd.Acquisition) -> ismrmrd.Acquisition:
    """Return a line that was read from +kx to −kx as if it had been read the other way."""
    header = line.getHead()
    header.center_sample = max(line.number_of_samples - 1 - line.center_sample, 0)
    header.discard_pre, header.discard_post = line.discard_post, line.discard_pre
    turned = ismrmrd.Acquisition(header, np.ascontiguousarray(line.data[:, ::-1]), line.traj[::-1])
    turned.clear_flag(ismrmrd.ACQ_IS_REVERSE)
    return turned


def outside_limits(*counters: tuple[str, int, Limit | None]) -> str | None:
    """Say which of the counters (name, value, limit) lies outside what the header announces, or None if none does."""
    for name, value, limit in counters:
        if limit is not None and not limit.minimum <= value <= limit.maximum:
            return f"{name} is {value}, outside the header's limits {limit.minimum} to {limit.maximum}"
    return None


def misfit(encoding: Encoding, line: ismrmrd.Acquisition) -> str | None:
    """Say why a line has no place in its encoding, or None if it has.

    The limits of averages tell how many there are; which numbers they have is the scanner's.
    """
    index = line.idx
    counters = ((name, getattr(index, name), limit) for name, limit in encoding.counters.items() if name != "average")
    step1 = "encoding step 1", index.kspace_encode_step_1, encoding.step1
    step2 = "encoding step 2", index.kspace_encode_step_2, encoding.step2
    if reason := outside_limits(step1, step2, *counters):
        return reason
    partition, row = place_of(encoding, line)
    _, ky, kz = encoding.encoded_matrix
    if not (0 <= row < ky and 0 <= partition < kz):
        return f"row {row}, partition {partition} is outside the {ky} × {kz} matrix"
    samples = line.number_of_samples
    allowed = {encoding.readout_samples, encoding.encoded_matrix[0]}
    if samples not in allowed:
        return f"{samples} samples, {' or '.join(map(str, sorted(allowed)))} expected of an encoded matrix of \
{encoding.encoded_matrix[0]} along x; asymmetric echoes need AsymmetricEchoAdjustROGadget before"
    is_whole = line.discard_pre == line.discard_post == 0
    if not fits_moved(line) and not (is_whole and abs(to_middle(line)) <= FARTHEST):
        return f"centre sample is {line.center_sample} of {samples}, {samples // 2} expected"
    if not np.isfinite(line.data.view(np.float32)).all():
        return f"{np.count_nonzero(~np.isfinite(line.data))} of {line.data.size} samples are not finite numbers"
    return None
