"""The door for shots whose samples lie along a trajectory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from gadgets.errors import PipelineError, ScanError
from gadgets.gadget import Device, Gadget, field
from gadgets.items import Aside, ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.receiving.admission import Admission
from gadgets.receiving.delay_correction import SPOKES, DelayCorrection, DelayProperty
from gadgets.receiving.expected_images import missing_images
from gadgets.receiving.image_lines import ImageKey
from gadgets.receiving.image_shots import ImageShots
from gadgets.receiving.role import Role, role_of
from gadgets.receiving.series import OLDEST, Series
from gadgets.receiving.shot_buffer import ShotBuffers
from gadgets.receiving.shot_places import ShotPlaces
from gadgets.scan import Scan, require_trajectory
from kband_core.device import choose_device
from kband_core.nufft import require_finufft


@dataclass
class TrajectoryBuffer(Gadget):
    """Buffer shots, radial, spiral or any that carry a trajectory, by slice, contrast, phase, set and repetition.

    An image leaves when as many shots are in as the header's limits of encoding step 1 announce; where they announce
    nothing, at the scanner's last-line flag; one that lacks shots when the second repetition after its last one begins,
    or at the end. The centre of its k-space calibrates it. A shot that has no place is set aside, said at once and in
    the image's comment, and ends the scan with an error after all images.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (ReconBuffer,)

    angle_step: Annotated[
        float, field(ge=-360, le=360, description="degrees from spoke to spoke; 0: lines carry their trajectory")
    ] = 0.0
    conjugate: Annotated[bool, field(description="turn the sign of trajectories: the image turns by 180°")] = False
    delays: DelayProperty = "auto"
    acs_lines: Annotated[int, field(ge=6, le=512, description="lines from the centre of k-space that calibrate")] = 24
    device: Device = "auto"

    def open(self, scan: Scan) -> None:
        """Refuse what is no trajectory in two dimensions, delays of what are no spokes, and a house without finufft;
        choose the device."""
        require_trajectory(scan, self.label())
        require_finufft()
        others = [encoding for encoding in scan.encodings if encoding.trajectory not in SPOKES]
        if self.delays == "estimate" and others:
            raise PipelineError(
                f"{self.label()}.delays: encoding {others[0].index} has the trajectory {others[0].trajectory}; delays "
                f"are estimated of {', '.join(SPOKES)} only"
            )
        self._scan = scan
        self._device = choose_device(self.device)

    @property
    def computes_on(self) -> torch.device:
        """Where the buffers go."""
        return self._device

    def process(self, acquisitions: Iterable[ismrmrd.Acquisition]) -> Iterator[ReconBuffer | Aside]:
        """Emit each image once. Raises `ScanError` at the end if shots had no place or if images never began."""
        estimates = self.delays == "estimate" or (self.delays == "auto" and self.angle_step != 0)
        buffers = ShotBuffers(self.acs_lines, DelayCorrection(estimates=estimates))
        room = _ShotRoom(self.label(), self._scan, ShotPlaces(self.angle_step or None, self.conjugate), buffers)
        for line in acquisitions:
            for item in room.take(line):
                yield item if isinstance(item, Aside) else item.to(self._device)
        for buffer in room.close():
            yield buffer.to(self._device)
        if problems := room.problems():
            raise ScanError(f"{self.label()}: {'; '.join(problems)}")


class _ShotRoom:
    """Takes the shots of a scan; `who` receives them, by the name that its messages bear."""

    def __init__(self, who: str, scan: Scan, places: ShotPlaces, buffers: ShotBuffers) -> None:
        self._scan, self._places, self._buffers = scan, places, buffers
        self._admission = Admission(who, scan, places.misfit)
        self._images: dict[ImageKey, ImageShots] = {}
        self._left: set[ImageKey] = set()
        self._series: defaultdict[tuple[int, ...], Series] = defaultdict(Series)
        self._n_lines = 0

    def take(self, line: ismrmrd.Acquisition) -> Iterator[ReconBuffer | Aside]:
        """Put a shot where it belongs and let go what it completes."""
        number, role, key = self._n_lines, role_of(line), ImageKey.of(line)
        self._n_lines += 1
        if role in (Role.FOREIGN, Role.HELD_OUT):
            return
        image = self._images.get(key)
        reason = self._admission.refuses(line, role, key, image, has_left=key in self._left, is_reversed=False)
        if reason is None and role is Role.CALIBRATION:
            reason = "it only calibrates, and images along a trajectory calibrate themselves"
        if reason is not None:
            yield from self._admission.set_aside(key, number, reason)
            return
        series = self._series[key[:-1]]
        if image is None:
            image = self._images[key] = ImageShots(
                self._scan.encodings[key.encoding], is_announced=self._scan.announces_step1(key.encoding)
            )
            for earlier, age in series.begin(key):
                if earlier in self._images and age >= OLDEST:
                    yield self._send(earlier)
        image.add(line, self._places)
        series.hear(key)
        if image.may_leave():
            yield self._send(key)

    def close(self) -> Iterator[ReconBuffer]:
        """Send what is left at the end of the scan."""
        for key in sorted(self._images):
            yield self._send(key)

    def problems(self) -> list[str]:
        """Say what is wrong with the scan as a whole, a sentence each."""
        return self._admission.problems() + missing_images(self._scan, self._left)

    def _send(self, key: ImageKey) -> ReconBuffer:
        image = self._images.pop(key)
        self._series[key[:-1]].leave(key)
        self._left.add(key)
        return image.buffer(self._admission.remarks(key), self._buffers)
