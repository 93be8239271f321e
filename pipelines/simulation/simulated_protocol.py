"""What a simulated scanner is told to do: the protocol, and the order of its lines."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, product
from typing import Literal

from torch import Tensor

from gadgets.mrd import ismrmrd
from kband_core.plural import counted
from pipelines.simulation.simulated_shots import BENT, check_shots, shot_places
from pipelines.simulation.slab import Slab

FOV_MM = 230.0
SLICE_SPACING_MM = 5.0

# Each loop's first and last flag, and the counters that stand still within the loop.
_LOOPS = (
    (ismrmrd.ACQ_FIRST_IN_ENCODE_STEP1, ismrmrd.ACQ_LAST_IN_ENCODE_STEP1, ("repetition", "slice", "average")),
    (ismrmrd.ACQ_FIRST_IN_AVERAGE, ismrmrd.ACQ_LAST_IN_AVERAGE, ("repetition", "slice", "average")),
    (ismrmrd.ACQ_FIRST_IN_SLICE, ismrmrd.ACQ_LAST_IN_SLICE, ("repetition", "slice")),
    (ismrmrd.ACQ_FIRST_IN_REPETITION, ismrmrd.ACQ_LAST_IN_REPETITION, ("repetition",)),
)


@dataclass(frozen=True)
class Protocol:
    """A scan of the head, seen by a ring of coils, or by two for a `slab`. `matrix` pixels along y and x.

    The lines `acceleration` apart run through the k-space centre; `calibration` lines only exist when it exceeds 1.
    `partial_fourier` is the fraction of the rows that are scanned, `partial_echo` that of the samples of each; the
    first ones are left out. `local_phase`, in radians: how far the phases of neighbouring tissues differ, beside the
    smooth one of the head. `snr` is that of the fully sampled image of one average: white matter, as the root of the
    sum over coils sees it in the centre of the head, over the noise SD of the real part of one coil. `interleaved`:
    each line of all slices before the next line.
    `held_out_lines` of each image are measured first, to judge it by: one row of every so many, drawn at random.

    Along another `trajectory` than the grid an image has `n_shots`, spokes or interleaves, and the counterpart of a row
    is a shot, which a `stack` has in all partitions of its slab, one after the other: no acceleration, calibration
    lines, partial Fourier or held-out lines. Noise is that of a grid of `matrix` rows, sample by sample. `delay`: how
    many samples the gradients along x and y come late, of which spokes tell nothing. Of trajectory "other" `places`
    `(shot, sample, 2)`, ky before kx in cycles per pixel, say where samples lie.
    """

    matrix: int = 256
    n_coils: int = 8
    n_slices: int = 3
    n_repetitions: int = 1
    n_averages: int = 1
    acceleration: int = 3
    acs_lines: int = 24
    calibration: Literal["embedded", "separate", "none"] = "embedded"
    oversampling: int = 2
    partial_fourier: float = 1.0
    partial_echo: float = 1.0
    local_phase: float = 0.0
    snr: float = 40.0
    noise_scan: bool = True
    interleaved: bool = False
    held_out_lines: int = 0
    seed: int = 0
    slab: Slab | None = None
    trajectory: Literal["cartesian", "radial", "golden", "spiral", "stack", "other"] = "cartesian"
    n_shots: int = 64
    delay: tuple[float, float] = (0.0, 0.0)
    places: Tensor | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("matrix", "n_coils", "n_repetitions", "n_averages", "oversampling", "n_shots"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, at least 1 expected")
        partly = min(self.partial_fourier, self.partial_echo) < 1
        if self.is_along_shots and (self.held_out_lines or partly):
            raise ValueError(
                f"{self.trajectory}: held-out lines, partial Fourier and echoes need trajectory cartesian"
            )
        check_shots(self.trajectory, self.delay, self.slab)
        for what, fraction in (("Fourier", self.partial_fourier), ("echo", self.partial_echo)):
            if not 0.5 < fraction <= 1:
                raise ValueError(f"partial {what} is {fraction:g}, expected more than 0.5 and at most 1")
        if not 1 <= self.acceleration <= self.matrix // 2:
            raise ValueError(f"acceleration is {self.acceleration}, expected 1 to {self.matrix // 2}")
        most_slices = 1 + int(FOV_MM / SLICE_SPACING_MM)
        if not 1 <= self.n_slices <= most_slices:
            raise ValueError(f"{self.n_slices} slices of {SLICE_SPACING_MM:g} mm, but 1 to {most_slices} cut the head")
        if self.snr <= 0:
            raise ValueError(f"SNR is {self.snr:g}, expected more than 0")
        if self.slab and (self.n_slices > 1 or self.held_out_lines):
            raise ValueError("a slab of partitions is one slice, without held-out lines")
        rows = self.acs_rows
        if self.calibrates and not (len(rows) > 0 and rows[0] >= self.first_row and rows[-1] < self.matrix):
            most = 2 * (self.matrix // 2 - self.first_row)
            raise ValueError(
                f"{counted(self.acs_lines, 'calibration line')}, but 1 to {most} fit around the centre of "
                "k-space"
            )
        if not 0 <= self.held_out_lines <= len(self.all_rows):
            raise ValueError(f"{self.held_out_lines} held-out lines, 0 to {len(self.all_rows)} expected")

    @property
    def n_samples(self) -> int:
        """Samples per line, oversampling included."""
        return self.shots.shape[1] if self.trajectory in BENT else self.matrix * self.oversampling

    @property
    def is_along_shots(self) -> bool:
        """Whether samples lie on no grid."""
        return self.trajectory != "cartesian"

    @cached_property
    def shots(self) -> Tensor:
        """Places of all samples of an image `(shot, sample, 2)`, in cycles per pixel."""
        if self.places is not None:
            return self.places
        return shot_places(self.trajectory, self.n_shots, self.matrix, self.oversampling)

    @property
    def n_partitions(self) -> int:
        return self.slab.n_partitions if self.slab else 1

    @property
    def total_acceleration(self) -> int:
        """How many times fewer lines than all, calibration lines aside."""
        return self.acceleration * (self.slab.acceleration if self.slab else 1)

    @property
    def calibrates(self) -> bool:
        """Whether calibration lines are acquired."""
        return not self.is_along_shots and self.total_acceleration > 1 and self.calibration != "none"

    @property
    def first_row(self) -> int:
        """The row of the k-space matrix where encoding step 1 starts to count."""
        return 0 if self.is_along_shots else self.matrix - round(self.partial_fourier * self.matrix)

    @property
    def centre_step(self) -> int:
        """Encoding step 1 of the centre of k-space; of shots, which all pass it, the first."""
        return 0 if self.is_along_shots else self.matrix // 2 - self.first_row

    @property
    def first_sample(self) -> int:
        """The sample of a full echo with which each line begins."""
        return self.n_samples - round(self.partial_echo * self.n_samples)

    @property
    def image_rows(self) -> range:
        """Rows acquired for the image, calibration lines aside; or shots."""
        if self.is_along_shots:
            return range(self.n_shots)
        offset = (self.matrix // 2 - self.first_row) % self.acceleration
        return range(self.first_row + offset, self.matrix, self.acceleration)

    @property
    def acs_rows(self) -> range:
        """Rows of the ACS block."""
        start = self.matrix // 2 - self.acs_lines // 2
        return range(start, start + self.acs_lines)

    @property
    def all_rows(self) -> range:
        """Rows from the first to the last one that the scan acquires, those left out included."""
        rows = {*self.image_rows, *(self.acs_rows if self.calibrates else ())}
        if self.slab and self.slab.poisson:
            return range(self.first_row, self.matrix)
        return range(min(rows), max(rows) + 1)

    @property
    def uid(self) -> int:
        """A number that tells this measurement from others."""
        return zlib.crc32(repr(self).encode())


@dataclass
class PlannedLine:
    """One readout: its row in k-space, its counters, its flags as bits."""

    row: int
    slice: int
    average: int = 0
    repetition: int = 0
    flags: int = 0
    probability: float = 0.0  # of having been drawn, where the line is held out
    partition: int = 0


def plan_lines(protocol: Protocol) -> list[PlannedLine]:
    """List the lines in the order of their acquisition, noise lines aside. Odd slices follow the even ones."""
    slices = [*range(0, protocol.n_slices, 2), *range(1, protocol.n_slices, 2)]
    flags = _lines_with_flags(protocol)
    repetitions, averages = range(protocol.n_repetitions), range(protocol.n_averages)
    if protocol.interleaved:
        order = ((r, s, a, at) for r, a, at, s in product(repetitions, averages, flags, slices))
    else:
        order = product(repetitions, slices, averages, flags)
    loop = [PlannedLine(at[1], s, a, r, flags[at], partition=at[0]) for r, s, a, at in order]
    for first_flag, last_flag, counters in _LOOPS:
        for lines, flag in ((loop, last_flag), (loop[::-1], first_flag)):
            ends = {tuple(getattr(line, name) for name in counters): line for line in lines}
            for line in ends.values():
                line.flags |= bit(flag)
    loop[-1].flags |= bit(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    if protocol.calibrates and protocol.calibration == "separate":
        only = bit(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
        calibrating = product(slices, _acs(protocol))
        loop = [PlannedLine(row, s, flags=only, partition=partition) for s, (partition, row) in calibrating] + loop
    return [*_held_out(protocol, slices), *loop]


def _held_out(protocol: Protocol, slices: Sequence[int]) -> Iterator[PlannedLine]:
    rng, rows, n = random.Random(f"{protocol.seed} held out"), protocol.all_rows, protocol.held_out_lines
    flags = bit(ismrmrd.ACQ_IS_NAVIGATION_DATA) | bit(ismrmrd.ACQ_USER1)
    borders = [number * len(rows) // max(n, 1) for number in range(n + 1)]
    for repetition, slice_, (start, stop) in product(range(protocol.n_repetitions), slices, pairwise(borders)):
        yield PlannedLine(rng.choice(rows[start:stop]), slice_, 0, repetition, flags, 1 / (stop - start))


def bit(flag: int) -> int:
    """Turn the number of an MRD flag into its bit."""
    return 1 << (flag - 1)


def _acs(protocol: Protocol) -> list[tuple[int, int]]:
    """Partition and row of each line of the ACS block."""
    partitions = protocol.slab.acs_partitions(protocol.acs_lines) if protocol.slab else (0,)
    return list(product(partitions, protocol.acs_rows))


def _lines_with_flags(protocol: Protocol) -> dict[tuple[int, int], int]:
    """Flags by partition and row."""
    if protocol.is_along_shots:
        return dict.fromkeys(((at, shot) for shot in protocol.image_rows for at in range(protocol.n_partitions)), 0)
    lines = dict.fromkeys(((0, row) for row in protocol.image_rows), 0)
    if protocol.slab:
        acquired = protocol.slab.image_lines(protocol.matrix, protocol.image_rows, protocol.acs_lines, protocol.seed)
        lines = dict.fromkeys(map(tuple, acquired.nonzero().tolist()), 0)
    if protocol.calibrates and protocol.calibration == "embedded":
        for at in _acs(protocol):
            both = at in lines
            lines[at] = bit(
                ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING if both else ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
            )
    return dict(sorted(lines.items()))
