"""A fully sampled scan as it would have come had the scanner left lines out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gadgets import flags
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from kband_core.plural import counted
from kband_core.training.undersampling import Undersampling
from pipelines.simulation.header_document import header_document

xsd = ismrmrd.xsd

IMAGE, CALIBRATING = 1.0, 0.5  # brightness of lines of the image's grid, and of calibration lines off it
BOTH, CALIBRATION = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION


@dataclass(frozen=True)
class UndersampledScan:
    """The header that the scanner would have sent, and the rows it would have acquired, bool `(ky,)` by encoding.

    `calibrating`: rows of the ACS; `imaging`: rows of the image; `full`: those of the scan without omissions, beyond
    which is padding. With equispaced lines the ACS lines between those of the grid only calibrate.
    """

    header_xml: str
    scan: Scan
    imaging: tuple[np.ndarray, ...]
    calibrating: tuple[np.ndarray, ...]
    full: tuple[np.ndarray, ...]
    of_all = "lines"

    def lines(self, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Acquisition]:
        """Pass on the lines that would have come, flagged; noise and the like come as before. Changes flags."""
        for line in lines:
            if not flags.is_never_image(line):
                which = line.encoding_space_ref
                row = self.scan.encodings[which].row(line.idx.kspace_encode_step_1)
                images, calibrates = self.imaging[which][row], self.calibrating[which][row]
                if not (images or calibrates):
                    continue
                for flag in (BOTH, CALIBRATION):
                    line.clearFlag(flag)
                if calibrates:
                    line.setFlag(BOTH if images else CALIBRATION)
            yield line

    def acceleration(self) -> float:
        """Return all lines over those acquired, ACS included, of the first encoding."""
        return np.count_nonzero(self.full[0]) / np.count_nonzero(self.imaging[0] | self.calibrating[0])

    def shown(self, n_samples: int) -> np.ndarray:
        """Return brightness on a k-space of so many samples, ky down: lines that only calibrate are grey."""
        lines = np.where(self.imaging[0], IMAGE, np.where(self.calibrating[0], CALIBRATING, 0.0))
        return np.repeat(lines[:, None], n_samples, 1)

    def told(self) -> tuple[str, str]:
        """Say how many lines there are, and a remark."""
        n_lines = np.count_nonzero(self.imaging[0] | self.calibrating[0])
        n_off_grid = np.count_nonzero(self.calibrating[0] & ~self.imaging[0])
        remark = f"grey: {counted(n_off_grid, 'calibration line')} off the grid" if n_off_grid else ""
        return f"{n_lines} of {np.count_nonzero(self.full[0])} lines, R = {self.acceleration():.2f}", remark


def undersample(header_xml: str, undersampling: Undersampling, *, rng: torch.Generator) -> UndersampledScan:
    """Leave lines out of a scan; all its images lack the same ones. What lies beyond the header's limits never comes.

    Raises `ValueError` if the header says that the scan is undersampled already, or for masks in two directions.
    """
    scan = Scan.from_xml(header_xml)
    header = xsd.CreateFromDocument(scan.xml)
    imaging, calibrating, full = [], [], []
    for encoding, description in zip(scan.encodings, header.encoding, strict=True):
        if encoding.acceleration[0] > 1:
            raise ValueError(f"the scan is {encoding.acceleration[0]}-fold accelerated already; a full one needed")
        n_rows, to_come = encoding.encoded_matrix[1], encoding.inside.any(0)
        around = _around_centre(to_come)
        acquired = np.zeros(n_rows, bool)
        acquired[around] = undersampling.draw((around.stop - around.start, 1), rng).lines().numpy()
        first = n_rows // 2 - undersampling.acs_lines // 2
        acs = np.zeros(n_rows, bool)
        acs[first : first + undersampling.acs_lines] = True
        step = max(round(undersampling.line_acceleration), 1)
        if undersampling.sampling == "equispaced":
            grid = acquired[around]
            offset = next(n for n in range(step) if grid[n::step].all())
            grid[np.arange(len(grid)) % step != offset] = False
        imaging.append(acquired & to_come)
        calibrating.append(acs & to_come)
        full.append(to_come)
        description.parallelImaging = xsd.parallelImagingType(
            accelerationFactor=xsd.accelerationFactorType(kspace_encoding_step_1=step, kspace_encoding_step_2=1),
            calibrationMode=xsd.calibrationModeType.EMBEDDED,
        )
    xml = header_document(header)
    return UndersampledScan(xml, Scan.from_xml(xml), tuple(imaging), tuple(calibrating), tuple(full))


def _around_centre(to_come: np.ndarray) -> slice:
    """The fewest rows with the centre in their middle that hold all that are to come: beyond them is padding."""
    rows, centre = np.flatnonzero(to_come), len(to_come) // 2
    length = max(2 * (centre - int(rows[0])), 2 * (int(rows[-1]) - centre) + 1)
    return slice(centre - length // 2, centre - length // 2 + length)
