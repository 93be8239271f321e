"""K-space from arrays as a scanner would send it: a header and lines, so that the gadgets need no other way in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gadgets.mrd import ismrmrd
from pipelines.files.line_grid import LineGrid
from pipelines.simulation.header_document import header_document

MOST_IMAGES = 65536  # what the counter of slices holds

xsd = ismrmrd.xsd


def made_up_scan(kspace: np.ndarray, mask: np.ndarray | None) -> tuple[str, Iterator[ismrmrd.Acquisition]]:
    """Return header and lines of k-space `(..., coil, ky, kx)`; each place of its leading axes becomes a slice.

    `mask` `(..., ky, 1)` or `(..., ky, kx)`, bool: the lines that were measured; without it, those that are not zero in
    all coils. Pixels are 1 mm; a grid of lines makes the header's acceleration, the lines around the centre calibrate.
    Raises `ValueError`, naming the axis.
    """
    _require_kspace(kspace)
    planes = np.ascontiguousarray(kspace, np.complex64).reshape(-1, *kspace.shape[-3:])
    acquired = planes.any((1, 3)) if mask is None else _lines_of(mask, kspace).reshape(-1, kspace.shape[-2])
    if not acquired.any(1).all():
        raise ValueError(f"kspace: image {int(np.argmin(acquired.any(1)))} has no measured line")
    grid = LineGrid.of(acquired)
    return _header(planes.shape, grid), _lines(planes, acquired, grid)


def _require_kspace(kspace: np.ndarray) -> None:
    if kspace.ndim < 3 or not np.iscomplexobj(kspace):
        raise ValueError(f"kspace is {kspace.dtype} of shape {kspace.shape}, complex of (..., coil, ky, kx) expected")
    n_images = int(np.prod(kspace.shape[:-3]))
    for name, length in zip(("coil", "ky", "kx"), kspace.shape[-3:], strict=True):
        if length == 0:
            raise ValueError(f"kspace has 0 along {name}")
    if not 0 < n_images <= MOST_IMAGES:
        raise ValueError(f"kspace has {n_images:,} images along {kspace.shape[:-3]}, 1 to {MOST_IMAGES:,} expected")
    if n_bad := int((~np.isfinite(kspace)).sum()):
        raise ValueError(f"kspace: {n_bad:,} of {kspace.size:,} samples are NaN or infinite")


def _lines_of(mask: np.ndarray, kspace: np.ndarray) -> np.ndarray:
    """Bool `(..., ky)` of the measured lines, for every image."""
    if mask.dtype != bool or mask.ndim < 2:
        raise ValueError(f"mask is {mask.dtype} of shape {mask.shape}, bool of (..., ky, 1) or (..., ky, kx) expected")
    for name, at in (("ky", -2), ("kx", -1)):
        if mask.shape[at] != kspace.shape[at] and (name, mask.shape[at]) != ("kx", 1):
            raise ValueError(f"mask has {mask.shape[at]} along {name}, but kspace has {kspace.shape[at]}")
    if (mask.any(-1) != mask.all(-1)).any():
        raise ValueError("mask: parts of lines are measured along kx; whole lines are expected")
    try:
        return np.array(np.broadcast_to(mask.any(-1), (*kspace.shape[:-3], kspace.shape[-2])))
    except ValueError as error:
        raise ValueError(f"mask has {mask.shape[:-2]} images, but kspace has {kspace.shape[:-3]}") from error


def _header(shape: tuple[int, ...], grid: LineGrid) -> str:
    n_images, n_coils, n_ky, n_kx = shape
    space = xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(x=n_kx, y=n_ky, z=1), fieldOfView_mm=xsd.fieldOfViewMm(x=n_kx, y=n_ky, z=1)
    )
    limits = xsd.encodingLimitsType(
        kspace_encoding_step_1=xsd.limitType(minimum=0, maximum=n_ky - 1, center=n_ky // 2),
        slice=xsd.limitType(minimum=0, maximum=n_images - 1, center=0),
    )
    encoding = xsd.encodingType(
        encodedSpace=space, reconSpace=space, encodingLimits=limits, trajectory=xsd.trajectoryType.CARTESIAN
    )
    if grid.acceleration > 1:
        encoding.parallelImaging = xsd.parallelImagingType(
            accelerationFactor=xsd.accelerationFactorType(
                kspace_encoding_step_1=grid.acceleration, kspace_encoding_step_2=1
            ),
            calibrationMode=xsd.calibrationModeType.EMBEDDED if grid.centre else None,
        )
    return header_document(xsd.ismrmrdHeader(
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(receiverChannels=n_coils),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=1),
        encoding=[encoding],
    ))  # fmt: skip


def _lines(planes: np.ndarray, acquired: np.ndarray, grid: LineGrid) -> Iterator[ismrmrd.Acquisition]:
    for number, (plane, is_acquired) in enumerate(zip(planes, acquired, strict=True)):
        for row in np.flatnonzero(is_acquired):
            yield ismrmrd.Acquisition.from_array(
                np.ascontiguousarray(plane[:, row]),
                idx=ismrmrd.EncodingCounters(kspace_encode_step_1=int(row), slice=number),
                center_sample=plane.shape[-1] // 2,
                flags=grid.flags(int(row)),
                read_dir=(1.0, 0.0, 0.0), phase_dir=(0.0, 1.0, 0.0), slice_dir=(0.0, 0.0, 1.0),
            )  # fmt: skip
