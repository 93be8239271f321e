"""Slices that were excited at once: which they are, where they lie, and how the header tells it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gadgets.encoding import Encoding, Limit
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan

LIKE = 0.01  # relative difference of two fields of view that are the same


@dataclass(frozen=True)
class Bands:
    """The slices of one buffer: their numbers, centres in mm (LPS), and δ, by which fraction of the field of view along
    y the phase of the blips shifts each."""

    slices: tuple[int, ...]
    positions: tuple[tuple[float, float, float], ...]
    shifts: tuple[float, ...]

    def headers(self, line: ismrmrd.AcquisitionHeader) -> list[ismrmrd.AcquisitionHeader]:
        """Return what a header of their common lines would be for each slice."""
        headers = []
        for slice_, position in zip(self.slices, self.positions, strict=True):
            header = ismrmrd.AcquisitionHeader.from_buffer_copy(line)
            header.idx.slice, header.position = slice_, position
            headers.append(header)
        return headers


@dataclass(frozen=True)
class Multiband:
    """How the slices of a scan are excited: `encoding` excites `factor` at once, in `n_groups` groups.

    Group g, as the slice counter of its lines says, holds the slices g, g + n_groups, g + 2 n_groups … of the
    `reference` encoding, counted from its first. δ grows by `shift` from each to the next. `spacing`: mm between them,
    as the header has it, or None.
    """

    encoding: Encoding
    reference: Encoding
    factor: int
    n_groups: int
    shift: float
    spacing: float | None

    @classmethod
    def of(cls, scan: Scan, factor: int, shift: float) -> Multiband:
        """Read it from the header; `factor` above 1 and `shift` other than 0 count where the header leaves it out, or
        is wrong. Raises `ValueError` for what is not there, or does not fit together.
        """
        folded = [one for one in scan.encodings if one.multiband > 1] or list(scan.encodings[: 1 if factor > 1 else 0])
        if len(folded) != 1:
            raise ValueError(
                f"{len(folded)} encodings excite several slices at once, 1 expected; where the header leaves it out, "
                "set multiband"
            )
        encoding = folded[0] if factor == 1 else replace(folded[0], multiband=factor)
        told = getattr(scan.header.encoding[encoding.index].parallelImaging, "multiband", None)
        index = len(scan.encodings) - 1 if told is None else int(told.calibration_encoding)
        if not scan.has_encoding(index):
            raise ValueError(f"encoding {index} is to calibrate, the header has {len(scan.encodings)}")
        reference = scan.encodings[index]
        _check_spaces(encoding, reference)
        n_slices = _slices(encoding, reference)
        if n_slices % encoding.multiband:
            raise ValueError(f"{n_slices} slices cannot be excited {encoding.multiband} at once")
        spacing = _spacing(told)
        if not shift and told is not None:
            shift = _shift(float(told.deltaKz), spacing, encoding.acceleration[0])
        return cls(encoding, reference, encoding.multiband, n_slices // encoding.multiband, shift, spacing)

    @property
    def first_slice(self) -> int:
        """The lowest number of a slice."""
        limit = self.reference.counters["slice"]
        return limit.minimum if limit else 0

    def slices(self, group: int) -> tuple[int, ...]:
        """Numbers of the slices that a group holds."""
        return tuple(range(self.first_slice + group, self.first_slice + self.factor * self.n_groups, self.n_groups))

    @property
    def shifts(self) -> tuple[float, ...]:
        """δ of the slices of a group."""
        return tuple(self.shift * number for number in range(self.factor))

    def folded(self) -> Encoding:
        """The encoding as its lines see it: its slices are groups, and none of them calibrates."""
        counters = {**self.encoding.counters, "slice": Limit(0, self.n_groups - 1, 0)}
        return replace(self.encoding, counters=counters, calibration_mode="other")

    def unfolded(self) -> Encoding:
        """The encoding as its images see it: they have all slices."""
        last = self.first_slice + self.factor * self.n_groups - 1
        counters = {**self.encoding.counters, "slice": Limit(self.first_slice, last, self.first_slice)}
        return replace(self.encoding, counters=counters, calibration_mode="other")


def _check_spaces(encoding: Encoding, reference: Encoding) -> None:
    for one in (encoding, reference):
        if one.trajectory != "cartesian" or one.encoded_matrix[2] > 1:
            raise ValueError(
                f"encoding {one.index} has the trajectory {one.trajectory} and {one.encoded_matrix[2]} partitions; "
                "several slices at once need Cartesian lines of single slices"
            )
    ours, theirs = ((one.recon_fov[0], one.encoded_fov[1]) for one in (encoding, reference))
    if any(abs(a - b) > LIKE * a for a, b in zip(ours, theirs, strict=True)):
        raise ValueError(
            f"encoding {reference.index}, which calibrates, has a field of view of {theirs[0]:g} × {theirs[1]:g} mm, "
            f"encoding {encoding.index} of {ours[0]:g} × {ours[1]:g} mm; the same expected"
        )


def _slices(encoding: Encoding, reference: Encoding) -> int:
    """How many slices there are: those that are calibrated."""
    limit = reference.counters["slice"]
    if limit is not None:
        return len(limit)
    groups = encoding.counters["slice"]
    if groups is None:
        raise ValueError("the header does not limit the slices, so nobody can tell which are excited at once")
    return len(groups) * encoding.multiband


def _spacing(told: ismrmrd.xsd.multibandType | None) -> float | None:
    distances = {float(distance) for spacing in (told.spacing if told else ()) for distance in spacing.dZ}
    return distances.pop() if len(distances) == 1 else None


def _shift(delta_kz: float, spacing: float | None, acceleration: int) -> float:
    """δ from slice to slice: blips step by deltaKz (cycles per mm) from each acquired line to the next."""
    if delta_kz == 0:
        return 0.0
    if spacing is None:
        raise ValueError("multiband: no single dZ tells how far apart slices lie; set fov_shift")
    turns = delta_kz * spacing
    if abs(turns) > 1:
        raise ValueError(
            f"multiband: deltaKz {delta_kz:g} × dZ {spacing:g} mm is {turns:g} turns from line to line, "
            "-1 to 1 expected; set fov_shift"
        )
    return turns / acceleration
