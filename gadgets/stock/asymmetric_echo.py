"""Zero-filling of readouts whose echo is not in the middle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gadgets.flags import is_noise
from gadgets.gadget import Gadget
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan


@dataclass
class AsymmetricEchoAdjustRO(Gadget):
    """Zero-fill a short asymmetric echo to the encoded matrix, so that the echo stands in the middle.

    The filled samples are added to `discard_pre` or `discard_post`, and `center_sample` moves with the echo. Noise
    readouts, echoes in the middle, echoes as long as the matrix and lines of no encoding of the header pass unchanged.
    The stock gadget fills one side only, calls N/2 the centre wherever the echo is, forgets earlier discards, and
    leaves the trajectory short.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    twin_of: ClassVar[str] = "AsymmetricEchoAdjustROGadget"

    def open(self, scan: Scan) -> None:
        """Keep the scan for the encoded matrix of each line's encoding."""
        self._scan = scan

    def process(self, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Acquisition]:
        for line in lines:
            n_samples, center = line.number_of_samples, line.center_sample
            asymmetric = 2 * center != n_samples and center < n_samples
            if is_noise(line) or not asymmetric or not self._scan.has_encoding(line.encoding_space_ref):
                yield line
                continue
            missing = self._scan.encoding(line.encoding_space_ref).encoded_matrix[0] - n_samples
            yield _filled(line, missing) if missing > 0 else line


def _filled(line: ismrmrd.Acquisition, missing: int) -> ismrmrd.Acquisition:
    middle = (line.number_of_samples + missing) // 2
    before = min(max(middle - line.center_sample, 0), missing)
    after = missing - before
    header = line.getHead()
    header.number_of_samples += missing
    header.center_sample += before
    header.discard_pre += before
    header.discard_post += after
    data = np.pad(line.data, ((0, 0), (before, after)))
    # a straight readout goes on at its own spacing
    trajectory = np.pad(line.traj, ((before, after), (0, 0)), mode="reflect", reflect_type="odd")
    return ismrmrd.Acquisition(header, data, trajectory)
