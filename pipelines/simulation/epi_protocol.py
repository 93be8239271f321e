"""What a simulated scanner is told to do by an EPI protocol: its trains, their order, and the MRD header."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from gadgets.mrd import ismrmrd
from pipelines.simulation.header_document import header_document
from pipelines.simulation.simulated_header import header_xml
from pipelines.simulation.simulated_protocol import PlannedLine, Protocol, bit, plan_lines

xsd = ismrmrd.xsd

FLASH_ENCODING = 1
CALIBRATES = bit(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)


@dataclass(frozen=True)
class EchoTrain:
    """How the lines of a `Protocol` are read by trains of echoes, every second one in reverse. Times in µs.

    `n_shots` trains share the lines of a slice. `ramp_sampling`: samples are taken on the ramps as well. `echo_shift`:
    steps of 1/field of view along kx between echoes of both ways, as gradient delays make it; `echo_phase` radians
    between them, as eddy currents do; `echo_drift` radians from one echo to the next, off resonance. `n_navigators`
    echoes without phase encoding open each train, or follow its first `n_before` echoes. `reference`: how separate
    calibration lines are read, by trains or without, in an encoding of their own.
    """

    n_shots: int = 1
    ramp_sampling: bool = True
    echo_shift: float = 0.4
    echo_phase: float = 0.3
    echo_drift: float = 0.03
    n_navigators: int = 3
    n_before: int = 0
    reference: Literal["epi", "flash"] = "epi"

    def __post_init__(self) -> None:
        if self.n_shots < 1 or self.n_navigators < 0:
            raise ValueError(f"{self.n_shots} shots of {self.n_navigators} navigators, at least 1 and 0 expected")

    @property
    def times(self) -> tuple[int, int, int]:
        """Ramp, flat top, and from the start of the ramp to the first sample, for 2,560 µs of sampling."""
        return (900, 1120, 180) if self.ramp_sampling else (300, 2560, 300)

    @property
    def echo_spacing(self) -> int:
        """From one echo to the next."""
        ramp, flat, _ = self.times
        return 2 * ramp + flat


@dataclass
class PlannedShot:
    """One train: its lines in order, and whether they are read without trains after all."""

    lines: list[PlannedLine] = field(default_factory=list)
    is_flash: bool = False


def plan_shots(protocol: Protocol, train: EchoTrain) -> Iterator[PlannedShot]:
    """Plan the shots in the order of their acquisition: calibration first, then each repetition slice by slice."""
    lines = [line for line in plan_lines(protocol) if not line.flags & CALIBRATES]
    slices = list(dict.fromkeys(line.slice for line in lines))
    if protocol.calibrates:
        n_shots = protocol.acceleration if train.reference == "epi" else 1
        for slice_, shot in product(slices, range(n_shots)):
            rows = protocol.acs_rows[shot::n_shots]
            yield PlannedShot([PlannedLine(row, slice_, flags=CALIBRATES) for row in rows], train.reference == "flash")
    keys = dict.fromkeys((line.repetition, line.slice, line.average) for line in lines)
    for key in keys:
        of_key = [line for line in lines if (line.repetition, line.slice, line.average) == key]
        for shot in range(train.n_shots):
            yield PlannedShot(of_key[shot :: train.n_shots])


def check_protocol(protocol: Protocol, train: EchoTrain) -> None:
    """Refuse what is not simulated of echo trains. Raises `ValueError`."""
    if protocol.calibrates and protocol.calibration != "separate":
        raise ValueError(
            f"calibration is '{protocol.calibration}', but lines of a train have one spacing; separate or none expected"
        )
    if protocol.interleaved or protocol.held_out_lines:
        raise ValueError("interleaved slices and held-out lines are simulated without echo trains only")
    if protocol.slab or protocol.partial_echo < 1:
        raise ValueError("slabs of partitions and partial echoes are simulated without echo trains only")
    if train.n_shots > len(protocol.image_rows):
        raise ValueError(f"{train.n_shots} shots of {len(protocol.image_rows)} lines, at most one for each expected")


def epi_header_xml(protocol: Protocol, train: EchoTrain) -> str:
    """Write the MRD header: that of the protocol, its encoding read by trains; a FLASH reference has its own."""
    header = xsd.CreateFromDocument(header_xml(protocol))
    cartesian = header.encoding[0]
    header.encoding = [_as_trains(xsd.CreateFromDocument(header_xml(protocol)).encoding[0], protocol, train)]
    if protocol.calibrates and train.reference == "flash":
        cartesian.parallelImaging = None
        header.encoding.append(cartesian)
    return header_document(header)


def _as_trains(encoding: xsd.encodingType, protocol: Protocol, train: EchoTrain) -> xsd.encodingType:
    ramp, flat, delay = train.times
    long = {
        "etl": -(-len(protocol.image_rows) // train.n_shots), "numberOfNavigators": train.n_navigators,
        "rampUpTime": ramp, "rampDownTime": ramp, "flatTopTime": flat, "echoSpacing": train.echo_spacing,
        "acqDelayTime": delay, "numSamples": protocol.n_samples,
    }  # fmt: skip
    encoding.trajectory = xsd.trajectoryType.EPI
    encoding.trajectoryDescription = xsd.trajectoryDescriptionType(
        identifier="ConventionalEPI",
        userParameterLong=[xsd.userParameterLongType(name=name, value=value) for name, value in long.items()],
        userParameterDouble=[xsd.userParameterDoubleType(name="dwellTime", value=2560 / protocol.n_samples)],
    )
    return encoding
