"""A published array of k-space as the scan it was: a header, and its lines one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from gadgets.encoding import SOURCE, Limit
from gadgets.mrd import ismrmrd
from pipelines.files.datasets import published_header as published
from pipelines.files.line_grid import LineGrid
from pipelines.simulation.header_document import header_document

xsd = ismrmrd.xsd

Three = tuple[float, float, float]


@dataclass(frozen=True)
class StoredScan:
    """Header and number of lines; `lines()` reads them, block by block, in the order they would have been measured."""

    header_xml: str
    n_lines: int
    lines: Callable[[], Iterator[ismrmrd.Acquisition]]


@dataclass(frozen=True)
class Space:
    """Matrix and field of view, mm, along readout, encoding step 1 and step 2."""

    matrix: tuple[int, int, int]
    fov: Three

    @classmethod
    def of_millimetres(cls, *matrix: int) -> Space:
        """Return the space of pixels that nobody knows the size of: 1 mm."""
        return cls(matrix, tuple(map(float, matrix)))

    def described(self) -> Any:
        """Return it in MRD's words."""
        (kx, ky, kz), (x, y, z) = map(int, self.matrix), self.fov
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=kx, y=ky, z=kz), fieldOfView_mm=xsd.fieldOfViewMm(x=x, y=y, z=z)
        )


def centred(acquired: np.ndarray) -> Limit:
    """Return the limits of encoding steps that are counted from the first acquired row of a matrix, bool `(row,)`."""
    rows = np.flatnonzero(acquired)
    first, last = (int(rows[0]), int(rows[-1])) if len(rows) else (0, len(acquired) - 1)
    return Limit(0, last - first, len(acquired) // 2 - first)


def header_xml(
    root: Element | None, *, encoded: Space, shown: Space, limits: dict[str, Limit], n_coils: int, protocol: str,
    grid: LineGrid | None = None, source: Sequence[str] = (),
) -> str:  # fmt: skip
    """Describe the scan: what the published header `root` tells of it, and what its array shows.

    `limits`: by counter; of all others there is one value. `source`: what images must say of where their lines are
    from.
    """
    counters = {name: Limit(0, 0, 0) for name in ("average", "slice", "contrast", "phase", "repetition", "set")}
    encoding = xsd.encodingType(
        encodedSpace=encoded.described(), reconSpace=shown.described(), trajectory=xsd.trajectoryType.CARTESIAN,
        encodingLimits=xsd.encodingLimitsType(**{
            name: xsd.limitType(minimum=limit.minimum, maximum=limit.maximum, center=limit.center)
            for name, limit in {**counters, **limits}.items()
        }),
    )  # fmt: skip
    if grid is not None and grid.acceleration > 1:
        encoding.parallelImaging = xsd.parallelImagingType(
            accelerationFactor=xsd.accelerationFactorType(
                kspace_encoding_step_1=grid.acceleration, kspace_encoding_step_2=1
            ),
            calibrationMode=xsd.calibrationModeType.EMBEDDED if grid.centre else None,
        )
    said = [xsd.userParameterStringType(name=SOURCE, value="; ".join(source))] if source else []
    return header_document(xsd.ismrmrdHeader(
        measurementInformation=published.measurement(root, protocol),
        encoding=[encoding], sequenceParameters=published.timing(root),
        userParameters=xsd.userParametersType(userParameterString=said) if said else None,
        **published.system(root, n_coils),
    ))  # fmt: skip


def line_of(samples: np.ndarray, *, flags: int = 0, **counters: int) -> ismrmrd.Acquisition:
    """Return a line `(coil, readout)`. Nobody publishes directions or positions, so it has none."""
    return ismrmrd.Acquisition.from_array(
        np.ascontiguousarray(samples, np.complex64), idx=ismrmrd.EncodingCounters(**counters),
        center_sample=samples.shape[-1] // 2, flags=flags,
    )  # fmt: skip


def flag(number: int) -> int:
    """Return MRD's flag of that number as a bit."""
    return 1 << (number - 1)
