"""One image while its shots arrive, each with the places of its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gadgets import flags
from gadgets.encoding import Encoding
from gadgets.errors import ScanError
from gadgets.items import ReconBuffer
from gadgets.line_count import LineCount
from gadgets.mrd import ismrmrd
from gadgets.receiving.place import Place
from gadgets.receiving.role import Role
from gadgets.receiving.shot_places import ShotPlaces, measured
from kband_core.density import iterative_density, radial_density, spiral_density
from kband_core.fourier import resize, to_kspace
from kband_core.nufft import adjoint_nufft
from kband_core.sampling import Trajectory

EDGE = 0.5  # cycles per pixel


@dataclass(frozen=True)
class Shot:
    """What was measured `(coil, sample)` complex64, where `(sample, 2)`, and its density, if the scanner told it."""

    data: Tensor
    coords: Tensor
    density: Tensor | None
    header: ismrmrd.AcquisitionHeader


class ImageShots:
    """Shots of one image. `is_announced`: the header's limits tell how many there are."""

    def __init__(self, encoding: Encoding, *, is_announced: bool) -> None:
        self.encoding = encoding
        self._shots: dict[tuple[int, int, int], Shot] = {}  # by encoding step 1, average, and arrival
        self._came: Counter[int] = Counter()
        self._n_expected = len(encoding.step1) * encoding.n_averages if is_announced else None
        self._last_seen = False

    def repeats(self, line: ismrmrd.Acquisition, role: Role, place: Place) -> bool:
        """Whether a shot comes more often than the announced averages allow."""
        return self._came[line.idx.kspace_encode_step_1] >= self.encoding.n_averages

    def add(self, line: ismrmrd.Acquisition, places: ShotPlaces) -> None:
        """Add a shot; `places.misfit` must have found none."""
        data = torch.from_numpy(np.array(line.data[:, measured(line)]))
        shot = Shot(data, places.coords(self.encoding, line), places.density(line), line.getHead())
        step = line.idx.kspace_encode_step_1
        self._shots[step, line.idx.average, self._came[step]] = shot
        self._came[step] += 1
        self._last_seen |= flags.last_in_loop(line)

    def count(self) -> LineCount:
        """Count the shots received against those that the header lets expect."""
        return LineCount(len(self._shots), self._n_expected)

    def may_leave(self) -> bool:
        """Whether all expected shots are in, or none can be counted and the scanner said 'last'."""
        complete = self.count().complete
        return self._last_seen if complete is None else complete

    def buffer(self, problems: Sequence[str], acs_lines: int) -> ReconBuffer:
        """Close the image; shots that never came are no part of it.

        The centre of its own k-space calibrates it: `acs_lines` squared samples of the gridded coil images. Raises
        `ScanError` if most of the samples lie beyond the k-space of the recon matrix.
        """
        x, y, _ = self.encoding.recon_matrix
        shots = [self._shots[key] for key in sorted(self._shots)]
        coords = torch.stack([shot.coords for shot in shots])
        kspace = torch.stack([shot.data for shot in shots], 1)  # (coil, shot, sample)
        density = self._density(shots, coords)
        inside = (coords.abs() <= EDGE).all(-1).all(0)
        if 2 * int(inside.sum()) < len(inside):
            raise ScanError(
                f"slice {shots[0].header.idx.slice}: {len(inside) - int(inside.sum())} of {len(inside)} samples of a "
                f"shot lie beyond the k-space of the {y} × {x} recon matrix, less than half expected"
            )
        coords, kspace, density = coords[:, inside], kspace[..., inside], density[:, inside]
        headers, counts = np.empty((1, 1, 1), object), np.empty((1, 1, 1), object)
        headers[0, 0, 0], counts[0, 0, 0] = shots[len(shots) // 2].header, self.count()
        n_acs = [min(acs_lines, y), min(acs_lines, x)]
        return ReconBuffer(
            kspace=kspace[None, None, None],
            sampling=Trajectory(coords[None, None, None], density[None, None, None]),
            headers=headers,
            counts=counts,
            encoding=self.encoding,
            readout=(0, kspace.shape[-1]),
            acs=resize(to_kspace(adjoint_nufft(kspace * density, coords, (y, x))), n_acs)[None, None],
            problems=tuple(filter(None, (*problems, self.encoding.flaw))),
        )

    def _density(self, shots: Sequence[Shot], coords: Tensor) -> Tensor:
        given = [shot.density for shot in shots if shot.density is not None]
        if len(given) == len(shots):
            return torch.stack(given)
        if self.encoding.trajectory in ("radial", "goldenangle"):
            return radial_density(coords)
        if self.encoding.trajectory == "spiral":
            return spiral_density(coords)
        return iterative_density(coords, (self.encoding.recon_matrix[1], self.encoding.recon_matrix[0]))
