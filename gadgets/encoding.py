"""One encoding of a scan: how its lines are numbered, and where they stand in k-space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SOURCE = "kband_source"  # user parameter, and key of the meta: where lines come from, if they were not just measured


@dataclass(frozen=True)
class Limit:
    """Range of one counter; `center` is the value at the k-space centre for the two encoding steps."""

    minimum: int
    maximum: int
    center: int

    def __len__(self) -> int:
        return self.maximum - self.minimum + 1


@dataclass(frozen=True)
class Encoding:
    """One encoding space. Matrices are (x, y, z) = (readout, step 1, step 2); fields of view in mm, same order."""

    index: int
    trajectory: str
    encoded_matrix: tuple[int, int, int]
    encoded_fov: tuple[float, float, float]
    recon_matrix: tuple[int, int, int]
    recon_fov: tuple[float, float, float]
    step1: Limit
    step2: Limit
    counters: dict[str, Limit | None]  # None where the header does not say
    acceleration: tuple[int, int]
    calibration_mode: str | None
    multiband: int
    grid: tuple[int, int] | None = None  # (y, x) of images along a trajectory, if they are made on more than is shown
    flaw: str | None = None  # what of the header cannot be true: its images say so
    chosen: int | None = None  # lines of an image at most, where they are chosen as it grows: no header tells which
    source: str | None = None  # what the header says of where the lines come from: its images say so, too

    @property
    def image_grid(self) -> tuple[int, int]:
        """Matrix (y, x) on which images along a trajectory are made; its pixels are those of the recon matrix."""
        return self.grid or (self.recon_matrix[1], self.recon_matrix[0])

    @property
    def readout_samples(self) -> int:
        """Samples along the readout without its oversampling; counted in single precision, as Gadgetron does."""
        return int(self.encoded_matrix[0] / (np.float32(self.encoded_fov[0]) / np.float32(self.recon_fov[0])))

    @property
    def is_embedded(self) -> bool:
        """Whether calibration lines are the image's as well."""
        return self.calibration_mode in ("embedded", "interleaved")

    @property
    def calibrates_apart(self) -> bool:
        """Whether calibration lines are no part of the image."""
        return self.calibration_mode in ("separate", "external")

    @property
    def is_interleaved(self) -> bool:
        """Whether repetitions calibrate one another, their grids shifting by a line from one to the next."""
        is_shifted = self.acceleration[0] > 1 and not self.accelerates_partitions
        return is_shifted and self.calibration_mode == "interleaved"

    @property
    def accelerates_partitions(self) -> bool:
        """Whether partitions are left out: then (kz, ky) is undersampled, and each x is a problem of its own."""
        return self.acceleration[1] > 1 and self.encoded_matrix[2] > 1

    @property
    def total_acceleration(self) -> int:
        """How many times fewer lines than all, calibration lines aside."""
        return self.acceleration[0] * self.acceleration[1]

    @property
    def n_averages(self) -> int:
        """How often each line comes, as the header announces it."""
        average = self.counters["average"]
        return len(average) if average else 1

    def row(self, step1: int) -> int:
        """Row of the k-space matrix that encoding step 1 fills: the centre line stands at N//2."""
        return step1 + self.encoded_matrix[1] // 2 - self.step1.center

    def partition(self, step2: int) -> int:
        """Like `row`, for encoding step 2."""
        return step2 + self.encoded_matrix[2] // 2 - self.step2.center

    @property
    def inside(self) -> np.ndarray:
        """Tell which lines of the k-space matrix the header's limits hold, bool (kz, ky)."""
        inside = np.zeros(self.encoded_matrix[:0:-1], bool)
        rows = slice(max(self.row(self.step1.minimum), 0), self.row(self.step1.maximum) + 1)
        inside[self.partitions, rows] = True
        return inside

    @property
    def partitions(self) -> slice:
        """Partitions of the k-space matrix that the header lets expect."""
        first = self.partition(self.step2.minimum)
        return slice(max(first, 0), first + len(self.step2))

    def expected_rows(self, acquired: np.ndarray, ends_seen: bool) -> np.ndarray | None:
        """Tell which rows a complete image has, or None where the header cannot tell.

        `acquired`: bool (ky,), rows that hold imaging lines so far. At R=1 all rows within the limits are expected; at
        R>1 those of the grid on which the acquired rows lie. Lines off the grid mean irregular sampling: None. Where
        the scanner has marked both ends of the line loop (`ends_seen`), the grid ends where the acquired rows end.
        """
        inside = self.inside.any(0)
        acceleration = self.acceleration[0]
        if acceleration == 1:
            return inside
        rows = np.flatnonzero(acquired)
        if rows.size == 0 or np.any((rows - rows[0]) % acceleration):
            return None
        grid = np.zeros_like(inside)
        grid[rows[0] % acceleration :: acceleration] = True
        if ends_seen:
            inside[: rows[0]] = inside[rows[-1] + 1 :] = False
        return grid & inside
