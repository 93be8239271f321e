"""Gadgetron's ReconData message to the lines that it holds."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from gadgets import flags
from gadgets.encoding import Encoding
from gadgets.errors import ScanError
from gadgets.items import ReconData
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from kband_core.plural import counted
from pipelines.protocol.framing import Bounds, Message
from pipelines.protocol.recon_bytes import LINE_HEADER, Lines, read_recon_data


def decode_recon_data(message: Message, scan: Scan) -> Iterator[ReconData]:
    """Read the lines of a ReconData message, one item for each encoding space that has some.

    Missing lines are zeros whose header has 0 samples. Raises `ScanError` for a buffer that does not fit its header.
    """
    for buffer, reference in read_recon_data(message):
        calibration = [line for line in _lines(reference, scan) if flags.is_calibration_only(line)]
        lines = list(_lines(buffer, scan))
        if buffer is not None and not lines:
            raise ScanError("ReconData: a buffer holds 0 acquired lines")
        if calibration or lines:
            yield ReconData([*calibration, *lines])


def _check_size(shape: tuple[int, ...], encoding: Encoding, n_samples: int) -> None:
    """Let no small message make us allocate a volume."""
    *_, n_coils, kz, ky, _ = shape
    _, n_rows, n_partitions = encoding.encoded_matrix
    if ky > n_rows or kz > n_partitions:
        raise ScanError(f"ReconData: a buffer of {ky} × {kz} lines for a matrix of {n_rows} × {n_partitions}")
    n_bytes = 8 * prod((*shape[:3], n_coils, n_partitions, n_rows, n_samples))
    if n_bytes > Bounds.array:
        raise ScanError(f"ReconData: a buffer of {n_bytes:,} bytes, at most {Bounds.array:,} are accepted")


def _lines(arrays: Lines | None, scan: Scan) -> Iterator[ismrmrd.Acquisition]:
    """Yield the lines that were acquired, by slice, s, n, partition and row: their counters tell their place."""
    if arrays is None:
        return
    kspace, headers = arrays
    is_checked = False
    raw = np.ascontiguousarray(headers).view(np.uint8).reshape(*headers.shape, LINE_HEADER.itemsize)
    at = ismrmrd.AcquisitionHeader.number_of_samples.offset
    for *image, partition, row in np.argwhere(raw[..., at : at + 2].any(-1)):
        header = ismrmrd.AcquisitionHeader.from_buffer_copy(raw[(*image, partition, row)].tobytes())
        samples = kspace[(*image, slice(None), partition, row)]
        if not is_checked:
            _check_size(kspace.shape, scan.encoding(header.encoding_space_ref), header.number_of_samples)
            is_checked = True
        yield ismrmrd.Acquisition(_as_buffered(header, samples.shape), _whole_readout(samples, header))


def _as_buffered(header: ismrmrd.AcquisitionHeader, shape: tuple[int, int]) -> ismrmrd.AcquisitionHeader:
    """Describe a line as it lies in the buffer: its centre in the middle, and no trajectory."""
    n_coils, n_samples = shape
    shift = header.number_of_samples // 2 - header.center_sample
    if header.active_channels != n_coils or n_samples not in (header.number_of_samples, _n_measured(header)):
        raise ScanError(
            f"ReconData: k-space has {counted(n_coils, 'coil')} and {counted(n_samples, 'sample')} along the "
            "readout, but a header "
            f"{header.active_channels} and {header.number_of_samples}"
        )
    header.trajectory_dimensions = 0
    header.center_sample += shift
    header.discard_pre, header.discard_post = max(header.discard_pre + shift, 0), max(header.discard_post - shift, 0)
    return header


def _whole_readout(samples: np.ndarray, header: ismrmrd.AcquisitionHeader) -> np.ndarray:
    """Samples [coil kx] with those to be discarded, which Gadgetron leaves out where the header has no
    `parallelImaging`.
    """
    if samples.shape[-1] == header.number_of_samples:
        return samples
    return np.pad(samples, [(0, 0), (header.discard_pre, header.discard_post)])


def _n_measured(header: ismrmrd.AcquisitionHeader) -> int:
    return header.number_of_samples - header.discard_pre - header.discard_post
