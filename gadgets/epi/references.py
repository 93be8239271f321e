"""Reference lines of an encoding of their own, read without echo trains, that calibrate an EPI encoding."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import torch

from gadgets import flags
from gadgets.encoding import Encoding
from gadgets.mrd import ismrmrd
from gadgets.receiving.place import turned_round
from gadgets.scan import Scan
from kband_core.fourier import resize, to_image, to_kspace

log = logging.getLogger(__name__)

LIKE = 0.01  # relative difference of two fields of view that are the same


@dataclass(frozen=True)
class References:
    """Lines of the encoding `source` that only calibrate become lines of the EPI encoding `target`, as it leaves."""

    source: Encoding
    target: Encoding

    @classmethod
    def of(cls, scan: Scan, epi: dict[int, Encoding]) -> References | None:
        """Find them: one accelerated EPI encoding, and one Cartesian beside it. `epi`: EPI encodings as they leave."""
        accelerated = [encoding for encoding in epi.values() if encoding.acceleration[0] > 1]
        others = [encoding for encoding in scan.encodings if encoding.trajectory == "cartesian"]
        if not len(accelerated) == len(others) == 1:
            return None
        (source,), (target,) = others, accelerated
        n_steps = 1 if target.encoded_matrix[2] == 1 else 2
        ours, theirs = (encoding.encoded_fov[1 : 1 + n_steps] for encoding in (target, source))
        if any(abs(a - b) > LIKE * a for a, b in zip(ours, theirs, strict=True)):
            log.warning("encoding %d has a field of view of %s mm along its steps, encoding %d of %s mm: its lines "
                        "calibrate nothing", source.index, theirs, target.index, ours)  # fmt: skip
            return None
        return cls(source, target)

    @property
    def calibrated(self) -> Encoding:
        """The EPI encoding, which awaits lines that calibrate it and are no part of its image."""
        return replace(self.target, calibration_mode="separate")

    def concerns(self, line: ismrmrd.Acquisition) -> bool:
        """Whether a line is a reference line."""
        return line.encoding_space_ref == self.source.index and flags.is_calibration_only(line)

    def moved(self, line: ismrmrd.Acquisition) -> ismrmrd.Acquisition | None:
        """Return the line as one of the EPI encoding, or None if that has no such step: same k, same field of view."""
        if flags.is_reversed(line):
            line = turned_round(line)
        header, index = line.getHead(), line.idx
        steps = (
            index.kspace_encode_step_1 - self.source.step1.center + self.target.step1.center,
            index.kspace_encode_step_2 - self.source.step2.center + self.target.step2.center,
        )
        limits = self.target.step1, self.target.step2
        if not all(limit.minimum <= step <= limit.maximum for step, limit in zip(steps, limits, strict=True)):
            return None
        header.idx.kspace_encode_step_1, header.idx.kspace_encode_step_2 = steps
        header.encoding_space_ref = self.target.index
        data = self._along_x(line)
        header.number_of_samples, header.center_sample = data.shape[1], data.shape[1] // 2
        header.discard_pre = header.discard_post = header.trajectory_dimensions = 0
        return ismrmrd.Acquisition(header, data)

    def _along_x(self, line: ismrmrd.Acquisition) -> np.ndarray:
        """Samples of the line, its echo in the middle, over the field of view and up to the highest k of the image."""
        samples, centre = torch.tensor(line.data), line.center_sample
        n_before, n_after = max(len(samples[0]) - 2 * centre, 0), max(2 * centre - len(samples[0]), 0)
        samples = torch.nn.functional.pad(samples, (n_before, n_after))
        width = self.source.encoded_fov[0] * max(line.number_of_samples / self.source.encoded_matrix[0], 1)
        n_inside = max(round(samples.shape[1] * self.target.encoded_fov[0] / width), 1)
        inside = to_kspace(resize(to_image(samples, (-1,)), [n_inside], (-1,)), (-1,))
        return resize(inside, [self.target.encoded_matrix[0]], (-1,)).numpy()
