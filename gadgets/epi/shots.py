"""Which echoes of an image belong to one train, and which navigators to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gadgets import flags
from gadgets.mrd import ismrmrd


@dataclass(frozen=True)
class Echo:
    """One readout as it is along x: `pixels` complex64 `(coil, x)`, whichever way it was read."""

    header: ismrmrd.AcquisitionHeader
    pixels: Tensor

    @property
    def is_positive(self) -> bool:
        """Whether it was read from −kx to +kx; flag 22 alone tells."""
        return not flags.is_reversed(self.header)

    @property
    def is_navigator(self) -> bool:
        """Whether it has no phase encoding, and measures the phase between both polarities."""
        return flags.is_phase_correction(self.header)

    @property
    def only_calibrates(self) -> bool:
        """Whether it is no part of the image."""
        return flags.is_calibration_only(self.header)

    @property
    def steps(self) -> tuple[int, int]:
        """Encoding steps 1 and 2."""
        return self.header.idx.kspace_encode_step_1, self.header.idx.kspace_encode_step_2


@dataclass
class Shot:
    """One train: its navigators and its echoes, each in the order in which they came."""

    navigators: list[Echo] = field(default_factory=list)
    echoes: list[Echo] = field(default_factory=list)
    n_before: int = 0  # echoes that came before the navigators

    def echo_numbers(self) -> Tensor:
        """Number the echoes by their place in the train, int64 `(echo,)`.

        Lines that got lost are counted by the encoding steps; navigators read between the echoes take places as well.
        """
        rows = torch.tensor([echo.steps[0] for echo in self.echoes])
        steps = (rows[1:] - rows[:-1]).abs()
        numbers = (rows - rows[0]).abs() // max(int(steps[steps > 0].min()) if steps.any() else 1, 1)
        if self._navigators_between():
            numbers[self.n_before :] += len(self.navigators)
        return numbers

    def polarities(self) -> Tensor:
        """Which echoes are positive, bool `(echo,)`."""
        return torch.tensor([echo.is_positive for echo in self.echoes])

    def _navigators_between(self) -> bool:
        """Whether navigators were read after the first echoes, not only sent after them: time stamps tell."""
        if self.n_before == 0 or not self.navigators:
            return False
        last = max(navigator.header.acquisition_time_stamp for navigator in self.navigators)
        first = self.echoes[0].header.acquisition_time_stamp
        return last > first or last == 0

    def goes_on_with(self, echo: Echo) -> bool:
        """Whether an echo may be the next one of the train: the steps run on the same way, and so does the purpose."""
        if not self.echoes:
            return True
        first, latest = self.echoes[0], self.echoes[-1]
        if (latest.steps[1], latest.only_calibrates) != (echo.steps[1], echo.only_calibrates):
            return False
        so_far, step = latest.steps[0] - first.steps[0], echo.steps[0] - latest.steps[0]
        return step * so_far > 0 or (step != 0 and so_far == 0)


def shots_of(echoes: Sequence[Echo]) -> list[Shot]:
    """Group the echoes of an image, in the order of their arrival, into shots.

    Navigators open a shot; where an image begins without them they come late, and belong to the shot under way. A shot
    also ends where the encoding steps turn back.
    """
    shots: list[Shot] = []
    lead = bool(echoes) and echoes[0].is_navigator
    for echo in echoes:
        shot = shots[-1] if shots else None
        if echo.is_navigator:
            follows = shot is not None and shot.navigators and len(shot.echoes) == shot.n_before
            if shot is None or not (follows or (not lead and not shot.navigators)):
                shots.append(shot := Shot())
            if not shot.navigators:
                shot.n_before = len(shot.echoes)
            shot.navigators.append(echo)
        else:
            if shot is None or not shot.goes_on_with(echo):
                shots.append(shot := Shot())
            shot.echoes.append(echo)
    return shots
