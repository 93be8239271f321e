"""The door for shots whose samples lie along a trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch

from gadgets.errors import PipelineError, ScanError
from gadgets.gadget import Device, Gadget, field
from gadgets.items import Aside, ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.receiving.delay_correction import SPOKES, DelayCorrection, DelayProperty
from gadgets.receiving.shot_buffer import ShotBuffers
from gadgets.receiving.shot_places import ShotPlaces
from gadgets.receiving.shot_room import ShotRoom
from gadgets.receiving.shot_windows import Window, WindowRoom, require_numbered_shots
from gadgets.scan import Scan, on_encoded_grid, require_trajectory
from kband_core.device import choose_device
from kband_core.measured_shots import measured_shots
from kband_core.nufft_engines import require_finufft


@dataclass
class TrajectoryBuffer(Gadget):
    """Buffer shots, radial, spiral or any that carry a trajectory, by slice, contrast, phase, set and repetition.

    An image leaves when as many shots are in as the header's limits of encoding step 1 announce; where they announce
    nothing, at the scanner's last-line flag; one that lacks shots when the second repetition after its last one begins,
    or at the end. The centre of its k-space calibrates it. A shot that has no place is set aside, said at once and in
    the image's comment, and ends the scan with an error after all images.

    With `spokes`, repetitions are one series over which a window slides: an image of so many shots, `every` so many
    (see `WindowRoom`).
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (ReconBuffer,)

    angle_step: Annotated[
        float, field(ge=-360, le=360, description="degrees from spoke to spoke; 0: lines carry their trajectory")
    ] = 0.0
    measured: Annotated[
        str, field(description="table of measured shots by its name, NAME.csv of a folder in KBAND_TRAJECTORIES, in "
                   "place of the trajectory that lines carry; empty: none")
    ] = ""  # fmt: skip
    conjugate: Annotated[bool, field(description="turn the sign of trajectories: the image turns by 180°")] = False
    delays: DelayProperty = "auto"
    spokes: Annotated[
        int, field(ge=0, le=65535, description="shots of each image of a sliding window, in real time; 0: whole images")
    ] = 0
    every: Annotated[
        int, field(ge=0, le=65535, description="shots from one window to the next; 0: as many as a window has")
    ] = 0
    grid: Annotated[
        Literal["recon", "encoded"],
        field(description="encoded: images of the encoded field of view, cropped to the recon matrix"),
    ] = "recon"
    acs_lines: Annotated[int, field(ge=6, le=512, description="lines from the centre of k-space that calibrate")] = 24
    device: Device = "auto"

    def open(self, scan: Scan) -> None:
        """Refuse what is no trajectory in two dimensions, delays of what are no spokes, and a house without finufft;
        choose the device."""
        require_trajectory(scan, self.label())
        require_finufft()
        others = [encoding for encoding in scan.encodings if encoding.trajectory not in SPOKES]
        if self.delays == "estimate" and others and not self.angle_step:
            raise PipelineError(
                f"{self.label()}.delays: encoding {others[0].index} has the trajectory {others[0].trajectory}; delays "
                f"are estimated of {', '.join(SPOKES)} only"
            )
        if self.spokes:
            require_numbered_shots(scan, self.label(), self._window)
        self._measured = self._look_up_measured()
        self._scan = on_encoded_grid(scan) if self.grid == "encoded" else scan
        self._device = choose_device(self.device)

    def _leaving(self, buffer: ReconBuffer) -> ReconBuffer:
        if self.measured:
            buffer = replace(buffer, notes={**buffer.notes, "kband_trajectory": f"measured, {self.measured}"})
        return buffer.to(self._device)

    def _look_up_measured(self) -> torch.Tensor | None:
        if not self.measured:
            return None
        if self.angle_step:
            raise PipelineError(f"{self.label()}: angle_step and measured are both given; one of them expected")
        try:
            return measured_shots(self.measured)
        except ValueError as error:
            raise PipelineError(f"{self.label()}.measured: {error}") from error

    @property
    def computes_on(self) -> torch.device:
        """Where the buffers go."""
        return self._device

    @property
    def _window(self) -> Window:
        return Window(self.spokes, self.every or self.spokes)

    def process(self, acquisitions: Iterable[ismrmrd.Acquisition]) -> Iterator[ReconBuffer | Aside]:
        """Emit each image once. Raises `ScanError` at the end if shots had no place or if images never began."""
        estimates = self.delays == "estimate" or (self.delays == "auto" and self.angle_step != 0)
        buffers = ShotBuffers(self.acs_lines, DelayCorrection(estimates=estimates))
        places = ShotPlaces(self.angle_step or None, self.conjugate, self._measured)
        room: ShotRoom | WindowRoom = ShotRoom(self.label(), self._scan, places, buffers)
        if self.spokes:
            room = WindowRoom(self.label(), self._scan, places, buffers, self._window)
        for line in room.admission.first_lines.through(acquisitions):
            for item in room.take(line):
                yield item if isinstance(item, Aside) else self._leaving(item)
        for buffer in room.close():
            yield self._leaving(buffer)
        if problems := room.problems():
            raise ScanError(f"{self.label()}: {'; '.join(problems)}")
