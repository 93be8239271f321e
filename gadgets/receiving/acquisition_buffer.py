"""Lines become k-space: which of them can be used, and what the scan as a whole lacks."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import ismrmrd
import torch

from gadgets import flags
from gadgets.errors import ScanError
from gadgets.gadget import Device, Gadget, field
from gadgets.items import Aside, Calibration, ReconBuffer
from gadgets.receiving.expected_images import missing_images
from gadgets.receiving.held_out_lines import flaw
from gadgets.receiving.image_lines import ImageKey
from gadgets.receiving.images_under_way import ImagesUnderWay
from gadgets.receiving.kspace_lines import READ_IN_REVERSE, misfit
from gadgets.scan import Scan, require_cartesian
from kband_core.device import choose_device

log = logging.getLogger(__name__)


@dataclass
class AcquisitionBuffer(Gadget):
    """Buffer lines by counters; send a slice's `Calibration` when it is complete, then its images.

    An image with flagged calibration lines, or with `acs_lines` central lines, calibrates itself: the patient may have
    moved since the one before. Others take the latest calibration of their slice.

    An image leaves when the lines that the header lets expect are in, else at the end. Only where the header leaves
    open how many lines there are, the scanner's last-line flags, or the slice's next repetition, send it earlier; and
    one that lacks lines leaves when the second repetition after its last line begins. A line that has no place is set
    aside and named in the log and in the image's comment. Held-out lines (navigation data with user flag 1) stay out of
    the image and judge it; it does not wait for them.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (Calibration, ReconBuffer)

    acs_lines: Annotated[
        int, field(ge=4, le=512, description="central lines that calibrate where the scanner flags none")
    ] = 24
    device: Device = "auto"

    def open(self, scan: Scan) -> None:
        """Refuse trajectories and accelerations that cannot be reconstructed; choose the device."""
        require_cartesian(scan, "AcquisitionBuffer")
        self._scan = scan
        self._device = choose_device(self.device)

    @property
    def computes_on(self) -> torch.device:
        """Where the buffers go."""
        return self._device

    def process(self, acquisitions: Iterable[ismrmrd.Acquisition]) -> Iterator[Calibration | ReconBuffer | Aside]:
        """Emit each image once, and warn of the first line that is set aside for a reason.

        Raises `ScanError` at the end if lines had no place or if images never began.
        """
        images = ImagesUnderWay(self.acs_lines)
        shapes: dict[int, tuple[int, int]] = {}  # coils and samples, by encoding
        set_aside: Counter[str] = Counter()
        for number, line in enumerate(acquisitions):
            if flags.is_never_image(line) and not flags.is_held_out(line):
                continue
            key = ImageKey.of(line)
            reason = "it came after its image had left" if key in images.sent else self._unusable(line, shapes)
            if reason:
                if not set_aside[reason]:  # at once: the scan may be repeated while the patient still lies there
                    yield Aside("warning", f"AcquisitionBuffer: line {number} ({key}) set aside: {reason}")
                log.info("AcquisitionBuffer: line %d (%s) set aside: %s", number, key, reason)
                set_aside[reason] += 1
                images.note(key, f"a line was set aside: {reason}")
                continue
            shapes[key.encoding] = line.active_channels, line.number_of_samples
            for item in images.add(key, line, self._scan.encodings[key.encoding]):
                yield item.to(self._device)
        for buffer in images.close():
            yield buffer.to(self._device)
        problems = [f"{n} line{'s' * (n > 1)} set aside: {reason}" for reason, n in set_aside.items()]
        problems += images.flaws() + missing_images(self._scan, images.sent)
        if problems:
            raise ScanError("AcquisitionBuffer: " + "; ".join(problems))

    def _unusable(self, line: ismrmrd.Acquisition, shapes: dict[int, tuple[int, int]]) -> str | None:
        """Say why a line cannot be used; coils and samples are those of the first line of its encoding that could."""
        n_coils, n_samples = shapes.get(line.encoding_space_ref, (line.active_channels, line.number_of_samples))
        try:
            encoding = self._scan.encoding(line.encoding_space_ref)
        except ScanError as error:
            return str(error)
        if line.active_channels != n_coils:
            return f"it has {line.active_channels} coils, the lines before have {n_coils}"
        if line.number_of_samples != n_samples:
            return f"it has {line.number_of_samples} samples, the lines before have {n_samples}"
        if flags.is_reversed(line):
            return READ_IN_REVERSE
        return misfit(encoding, line) or (flaw(line) if flags.is_held_out(line) else None)
