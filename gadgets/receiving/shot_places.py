"""Where the samples of a shot lie in k-space, or why they have no place there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gadgets.encoding import Encoding
from gadgets.mrd import ismrmrd
from gadgets.receiving.place import outside_limits
from kband_core.trajectories import spokes

FLAT = 1e-3  # cycles per pixel along z
REACH = (0.2, 0.6)  # cycles per pixel of the largest |k| of a shot, along x or y


@dataclass(frozen=True)
class ShotPlaces:
    """Tells the places of shots by the trajectory that they carry, or by `angle_step`, in degrees from one to the next,
    or by what was `measured`, `(shot, sample, 2)` in cycles per metre, ky before kx, by encoding step 1.

    `conjugate` turns the sign of carried and measured trajectories.
    """

    angle_step: float | None
    conjugate: bool
    measured: Tensor | None = None

    def coords(self, encoding: Encoding, shot: ismrmrd.Acquisition) -> Tensor:
        """Return float32 `(sample, 2)`, ky before kx, in cycles per pixel of the recon space; without the discards.

        What a line carries, and what a step gives, is in cycles per pixel of the encoded space, kx first.
        """
        samples = measured(shot)
        encoded, shown = (
            np.divide(fov[:2], matrix[:2])
            for fov, matrix in (
                (encoding.encoded_fov, encoding.encoded_matrix),
                (encoding.recon_fov, encoding.recon_matrix),
            )
        )
        traj = self._encoded(encoding, shot)[samples, :2] * (shown / encoded).astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(traj[:, ::-1]))

    def density(self, encoding: Encoding, shot: ismrmrd.Acquisition) -> Tensor | None:
        """Return the weights float32 `(sample,)` in the third column of a 2-D trajectory, if there are any."""
        if encoding.encoded_matrix[2] > 1 or shot.traj.shape[1] < 3 or not shot.traj[:, 2].any():
            return None
        return torch.from_numpy(shot.traj[measured(shot), 2].astype(np.float32))

    def misfit(self, encoding: Encoding, shot: ismrmrd.Acquisition) -> str | None:
        """Say why a shot has no place in its encoding, or None if it has. Numbers of averages are the scanner's."""
        index, limits = shot.idx, encoding.counters.items()
        counters = ((name, getattr(index, name), limit) for name, limit in limits if name != "average")
        steps = (
            ("encoding step 1", index.kspace_encode_step_1, encoding.step1),
            ("encoding step 2", index.kspace_encode_step_2, encoding.step2),
        )
        if reason := outside_limits(*steps, *counters):
            return reason
        if not np.isfinite(shot.data.view(np.float32)).all():
            return f"{np.count_nonzero(~np.isfinite(shot.data))} of {shot.data.size} samples are not finite numbers"
        n_dimensions = shot.traj.shape[1]
        if self.measured is not None and (reason := self._not_measured(shot)):
            return reason
        if self.angle_step is None and self.measured is None and n_dimensions == 0:
            return f"{encoding.trajectory}: lines carry no trajectory; set angle_step"
        if n_dimensions not in (0, 2, 3):
            return f"the trajectory has {n_dimensions} dimensions, 2 or 3 expected"
        if len(shot.data[0, measured(shot)]) < 2:
            return f"{shot.discard_pre} + {shot.discard_post} of {shot.number_of_samples} samples are to be discarded"
        traj = self._encoded(encoding, shot)[measured(shot)]
        if n_broken := np.count_nonzero(~np.isfinite(traj)):
            return f"{n_broken} of {traj.size} coordinates of the trajectory are not finite numbers"
        if (n_written := _written(traj)) < len(traj) - 1:
            return f"trajectory has {n_written} samples, data {len(traj)}"
        if encoding.encoded_matrix[2] > 1 and n_dimensions == 3 and (climbs := float(np.ptp(traj[:, 2]))) > FLAT:
            return f"kz changes by {climbs:.3g} along it; shots of a stack stay in their partition"
        largest = float(np.abs(traj[:, :2]).max())
        if not REACH[0] <= largest <= REACH[1]:
            return f"largest |k| is {largest:.4g}; cycles per pixel, {REACH[0]} to {REACH[1]}, expected"
        return None

    def _not_measured(self, shot: ismrmrd.Acquisition) -> str | None:
        n_shots, n_samples, _ = self.measured.shape
        if (step := shot.idx.kspace_encode_step_1) >= n_shots:
            return f"encoding step 1 is {step}, but {n_shots} shots were measured, from 0 on"
        if shot.number_of_samples != n_samples:
            return f"{shot.number_of_samples} samples, but {n_samples} of each shot were measured"
        return None

    def _encoded(self, encoding: Encoding, shot: ismrmrd.Acquisition) -> np.ndarray:
        """Trajectory `(sample, 2 or 3)` in cycles per pixel of the encoded space, kx first."""
        if self.measured is not None:
            pixels = np.divide(encoding.encoded_fov[:2], encoding.encoded_matrix[:2]) * 1e-3  # metres
            places = self.measured[shot.idx.kspace_encode_step_1].numpy()[:, ::-1] * pixels
            return (-places if self.conjugate else places).astype(np.float32)
        if self.angle_step is None:
            return -shot.traj if self.conjugate else shot.traj
        angle = math.radians(self.angle_step * shot.idx.kspace_encode_step_1)
        spoke = spokes(torch.tensor([angle], dtype=torch.float64), shot.number_of_samples, shot.center_sample)
        return spoke[0].numpy()[:, ::-1]


def _written(traj: np.ndarray) -> int:
    """Samples before a tail of zeros, which converters leave where a trajectory is shorter than its data.

    One zero may be the centre of k-space, to which a shot runs.
    """
    return int(np.flatnonzero(traj[:, :2].any(-1)).max(initial=-1)) + 1


def measured(shot: ismrmrd.Acquisition) -> slice:
    """Samples that are not to be discarded."""
    return slice(shot.discard_pre, max(shot.number_of_samples - shot.discard_post, shot.discard_pre))
