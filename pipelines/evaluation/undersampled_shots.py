"""A scan along a trajectory as it would have come had the scanner acquired fewer of its shots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gadgets import flags
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from kband_core.shot_angles import shot_angles
from pipelines.simulation.header_document import header_document

xsd = ismrmrd.xsd

KEPT, LEFT_OUT = 1.0, 0.25  # brightness


@dataclass(frozen=True)
class UndersampledShots:
    """The header that the scanner would have sent, which shots are kept, bool `(shot,)` by encoding step 1, and where
    they lie, in cycles per pixel.
    """

    scan: Scan
    kept: np.ndarray
    coords: Tensor
    of_all = "shots"

    def lines(self, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Acquisition]:
        """Pass on the shots that would have come, numbered anew; noise and the like come as before. Changes numbers."""
        number = np.cumsum(self.kept) - 1
        for line in lines:
            if not flags.is_never_image(line):
                shot = line.idx.kspace_encode_step_1
                if not self.kept[shot]:
                    continue
                line.idx.kspace_encode_step_1 = int(number[shot])
            yield line

    def acceleration(self) -> float:
        """Return all shots over those kept."""
        return len(self.kept) / np.count_nonzero(self.kept)

    def shown(self, n_samples: int) -> np.ndarray:
        """Return brightness on a k-space of `n_samples` squared, ky down: shots that were left out are grey."""
        picture = np.zeros((n_samples, n_samples))
        for kept, brightness in ((False, LEFT_OUT), (True, KEPT)):
            places = self.coords[torch.from_numpy(self.kept == kept)].flatten(0, -2).numpy()
            row, column = np.clip(np.rint((places + 0.5) * n_samples).astype(int), 0, n_samples - 1).T
            picture[row, column] = brightness
        return picture

    def told(self) -> tuple[str, str]:
        """Say how many shots there are, and a remark."""
        n_kept = np.count_nonzero(self.kept)
        return f"{n_kept} of {len(self.kept)} shots, R = {self.acceleration():.2f}", "grey: left out"


def leave_out_shots(
    header_xml: str, lines: Iterable[ismrmrd.Acquisition], acceleration: float, *, rng: torch.Generator
) -> UndersampledShots:
    """Keep 1/`acceleration` of the shots, evenly by their angle, the first one drawn; the same of all images.

    Raises `ValueError` where shots are missing already, where they carry no trajectory, or where they are neither
    spokes nor interleaves.
    """
    scan = Scan.from_xml(header_xml)
    header = xsd.CreateFromDocument(scan.xml)
    first: dict[int, np.ndarray] = {}
    for line in lines:
        if not flags.is_never_image(line):
            if line.traj.shape[1] < 2:
                raise ValueError("lines carry no trajectory, by which shots are left out")
            first.setdefault(line.idx.kspace_encode_step_1, np.array(line.traj[:, 1::-1], np.float32))
    n_shots, lengths = max(scan.encodings[0].step1.maximum, *first) + 1, {len(places) for places in first.values()}
    if len(first) < n_shots:
        raise ValueError(f"{len(first)} of {n_shots} shots were acquired; a full scan needed")
    if len(lengths) > 1:
        raise ValueError(f"shots have {min(lengths)} to {max(lengths)} samples; one length expected")
    coords = torch.from_numpy(np.stack([first[number] for number in range(n_shots)]))
    n_kept = max(round(n_shots / acceleration), 1)
    step = n_shots / n_kept
    offset = step * float(torch.rand((), generator=rng, dtype=torch.float64))
    ranks = (offset + step * np.arange(n_kept)).astype(int) % n_shots
    kept = np.zeros(n_shots, bool)
    kept[shot_angles(coords)[0].argsort().numpy()[ranks]] = True
    limit = xsd.limitType(minimum=0, maximum=n_kept - 1, center=n_kept // 2)
    for encoding in header.encoding:
        encoding.encodingLimits.kspace_encoding_step_1 = limit
    return UndersampledShots(Scan.from_xml(header_document(header)), kept, coords)
