"""Lines of echo trains turned into Cartesian ones, without the ghost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from torch import Tensor

from gadgets import flags
from gadgets.epi.correction import Corrected
from gadgets.epi.description import EpiReadout, epi_readouts
from gadgets.epi.notes import notes_of
from gadgets.epi.references import References
from gadgets.epi.shots import Echo, Shot
from gadgets.epi.waiting_echoes import WaitingEchoes
from gadgets.errors import ScanError
from gadgets.gadget import Gadget, field
from gadgets.items import Aside
from gadgets.mrd import ismrmrd
from gadgets.receiving.image_lines import ImageKey
from gadgets.receiving.noted_line import NotedLine
from gadgets.receiving.role import Role, role_of
from gadgets.scan import Scan
from kband_core.epi.phase import EchoPhase
from kband_core.fourier import to_kspace
from kband_core.threads import single_thread

WITHOUT = "EPI shot without navigators of both ways"


@dataclass
class _Slice:
    """What the trains of a slice have told: their navigators, or, without any, the lines themselves, by entropy."""

    phase: EchoPhase | None = None
    found: EchoPhase | None = None
    navigators_come_late: bool = False


@dataclass
class EpiLines(Gadget):
    """Grid the lines of EPI trains onto the image's field of view, correct their phase, and pass them on as Cartesian.

    Lines of other encodings pass unchanged; those that calibrate an EPI encoding from an encoding of their own become
    lines of that. Echoes of an image leave when its trains are complete. Navigators end here. It must stand in front of
    whatever crops the readout.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)

    phase_correction: Annotated[
        Literal["linear", "none"],
        field(description="phase between both ways of reading: linear along x, by navigators, or none"),
    ] = "linear"
    per_coil: Annotated[bool, field(description="a phase for each coil, not one for all")] = True
    refine: Annotated[
        Literal["auto", "entropy", "none"],
        field(
            description="entropy: the phase that makes the image least spread, searched from what navigators tell; "
            "auto: only where there are none, marked; none: refuse those"
        ),
    ] = "auto"

    def open(self, scan: Scan) -> None:
        """Read how the lines of EPI encodings are sampled. Raises `ValueError` if the header does not say."""
        self._readouts = epi_readouts(scan)
        self._encodings = {
            index: readout.as_cartesian(scan.encodings[index]) for index, readout in self._readouts.items()
        }
        self._references = References.of(scan, self._encodings)
        if self._references:
            self._encodings[self._references.target.index] = self._references.calibrated

    def scan_behind(self, scan: Scan) -> Scan:
        """The scan with Cartesian encodings in the place of EPI ones."""
        encodings = (self._encodings.get(encoding.index, encoding) for encoding in scan.encodings)
        return replace(scan, encodings=tuple(encodings))

    def process(self, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Acquisition | Aside]:
        """Emit the lines of each image when it is complete. Raises `ScanError` where nothing may tell the phase."""
        waiting: dict[ImageKey, WaitingEchoes] = {}
        self._slices: defaultdict[tuple[int, int], _Slice] = defaultdict(_Slice)
        n_coils: dict[int, int] = {}
        for line in lines:
            readout, key = self._readouts.get(line.encoding_space_ref), ImageKey.of(line)
            if readout is None:
                yield from self._other(line)
            elif role_of(line) is Role.FOREIGN and not flags.is_phase_correction(line):
                yield line
            elif not readout.fits(line, n_coils.get(key.encoding)):
                yield line  # the buffer sets it aside
            else:
                n_coils[key.encoding] = line.active_channels
                for earlier in _over(waiting, key, line):
                    yield from self._corrected(earlier, waiting.pop(earlier).shots())
                echoes = waiting.setdefault(key, WaitingEchoes(self._encodings[key.encoding]))
                yield from self._corrected(key, echoes.add(readout.echo(line), line))
                if echoes.is_complete() and not self._awaits_navigators(key, echoes, readout):
                    yield from self._corrected(key, waiting.pop(key).shots())
        for key in sorted(waiting, key=lambda key: waiting[key].has_begun()):  # navigators and calibration first
            yield from self._corrected(key, waiting[key].shots())

    def _other(self, line: ismrmrd.Acquisition) -> Iterator[ismrmrd.Acquisition]:
        """A line that is not EPI: as it is, unless it calibrates."""
        if self._references is None or not self._references.concerns(line):
            yield line
        elif (moved := self._references.moved(line)) is not None:
            yield moved

    def _awaits_navigators(self, key: ImageKey, echoes: WaitingEchoes, readout: EpiReadout) -> bool:
        """Whether navigators may still come behind the last echo, as none came in front."""
        slice_ = self._slices[key[:2]]
        may_come = slice_.navigators_come_late or (slice_.phase is None and slice_.found is None)
        return self.phase_correction == "linear" and may_come and echoes.awaits_navigators(readout.n_navigators)

    def _corrected(self, key: ImageKey, shots: Sequence[Shot]) -> Iterator[ismrmrd.Acquisition | Aside]:
        """The lines of some shots of an image; what their navigators tell serves later shots of the slice as well."""
        if not shots:
            return
        encoding, known = self._encodings[key.encoding], self._slices[key[:2]]
        raw = corrected = Corrected.by_nothing(encoding, shots)
        is_told = False
        if self.phase_correction == "linear":
            corrected = Corrected.by_navigators(encoding, shots, known.phase, per_coil=self.per_coil)
            known.phase, is_told = corrected.phases[-1], corrected.is_told
            known.navigators_come_late |= any(shot.n_before > 0 for shot in shots)
            if not is_told and self.refine == "none":
                raise ScanError(f"{self.label()}: {WITHOUT} ({key}); refine=auto or phase_correction=none goes on")
        lacks_navigators = self.phase_correction == "linear" and not is_told
        if lacks_navigators and known.found is None:
            yield Aside("warning", f"{self.label()}: {WITHOUT} ({key}): phase by entropy, marked")
        if self.refine == "entropy" or lacks_navigators:
            corrected = corrected.refined(known.found)
        if lacks_navigators:
            known.found = corrected.phases[-1]
        notes = {}
        if corrected.image_shots():
            notes = notes_of(raw, corrected, self._method(is_told=is_told), lacks_navigators=lacks_navigators)
        for number, shot in enumerate(shots):
            if not shot.echoes:
                continue
            with single_thread():
                kspace = to_kspace(corrected.pixels(number), (-1,))
            for echo, data in zip(shot.echoes, kspace, strict=True):
                line = cartesian_line(echo, data)
                yield NotedLine.of(line, notes) if notes else line
                notes = {}

    def _method(self, *, is_told: bool) -> str:
        """In words, what corrects the phase."""
        if self.phase_correction == "linear" and not is_told:
            return "entropy, without navigators"
        by_navigators = f"linear, {'per coil' if self.per_coil else 'all coils alike'}" if is_told else ""
        by_entropy = "entropy" if self.refine == "entropy" else ""
        return " and ".join(filter(None, (by_navigators, by_entropy))) or "none"


def _over(waiting: Mapping[ImageKey, WaitingEchoes], now: ImageKey, line: ismrmrd.Acquisition) -> list[ImageKey]:
    """Images of which no more echoes come, as a line comes of another one of their slice.

    When another repetition begins, one that lacks some is given up. Navigators and calibration that have an address of
    their own are complete at a line of the image.
    """
    over = []
    for key, echoes in waiting.items():
        if key[0] != now[0] and not echoes.has_begun() and role_of(line).fills_image:
            over.append(key)  # an encoding that only calibrates
        if key == now or key[:2] != now[:2]:
            continue
        if not echoes.has_begun():
            if role_of(line).fills_image:
                over.append(key)
        elif now not in waiting and key[:-1] == now[:-1] and echoes.has_most():
            over.append(key)
    return over


def cartesian_line(echo: Echo, kspace: Tensor) -> ismrmrd.Acquisition:
    """Return an echo as a line that was read from −kx to +kx, its echo in the middle; `kspace` `(coil, kx)`."""
    header = echo.header
    header.number_of_samples, header.center_sample = kspace.shape[-1], kspace.shape[-1] // 2
    header.discard_pre = header.discard_post = header.trajectory_dimensions = 0
    line = ismrmrd.Acquisition(header, np.ascontiguousarray(kspace.numpy()))
    line.clear_flag(ismrmrd.ACQ_IS_REVERSE)
    return line
