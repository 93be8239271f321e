"""The echoes of one image, corrected for the phase between both polarities, and what is to be said of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from gadgets.encoding import Encoding
from gadgets.epi.shots import Echo, Shot
from kband_core.coils import root_sum_of_squares
from kband_core.epi.entropy import entropy_phase
from kband_core.epi.ghost import ghost_level, object_mask
from kband_core.epi.phase import NO_PHASE, EchoPhase, navigator_phase
from kband_core.fourier import to_image


@dataclass(frozen=True)
class Corrected:
    """Shots of one image, all of them or the first ones, with the phase of each, or None where nothing told it.

    `is_borrowed`: another shot's navigators told it.
    """

    encoding: Encoding
    shots: Sequence[Shot]
    phases: Sequence[EchoPhase | None]
    is_borrowed: Sequence[bool]

    @classmethod
    def by_navigators(
        cls, encoding: Encoding, shots: Sequence[Shot], known: EchoPhase | None, *, per_coil: bool
    ) -> Corrected:
        """Take the phase of each shot from its navigators; without any, from the shot before, or behind, or `known`."""
        own = [_own_phase(shot, per_coil=per_coil) for shot in shots]
        phases: list[EchoPhase | None] = []
        for phase in own:
            known = known if phase is None else phase
            phases.append(known)
        first = next((phase for phase in phases if phase is not None), None)
        is_borrowed = [phase is None and first is not None for phase in own]
        return cls(encoding, shots, [phase or first for phase in phases], is_borrowed)

    @classmethod
    def by_nothing(cls, encoding: Encoding, shots: Sequence[Shot]) -> Corrected:
        """Leave the echoes as they are."""
        return cls(encoding, shots, [None] * len(shots), [False] * len(shots))

    @property
    def is_told(self) -> bool:
        """Whether the phase of all echoes is known."""
        return all(phase is not None or not shot.echoes for shot, phase in zip(self.shots, self.phases, strict=True))

    def refined(self, found: EchoPhase | None = None) -> Corrected:
        """Return the phases that make the image, and calibration lines apart, least spread; from nothing if need be.

        `found`: what was found so in lines of the slice before. It tells from the same image half a field of view away;
        lines of an accelerated image, where aliases hide the object, are searched from there, or else for small phases.
        """
        phases = list(self.phases)
        for calibrates in (False, True):
            members = [
                number
                for number, shot in enumerate(self.shots)
                if shot.echoes and shot.echoes[0].only_calibrates == calibrates
            ]
            if not members:
                continue
            is_accelerated = self.encoding.acceleration[0] > 1 and not calibrates
            if is_accelerated and found is not None:
                phases = [phase or found for phase in phases]
            near = float(found.offset) if found is not None else 0.0 if is_accelerated else None
            slope, offset = entropy_phase(
                *replace(self, phases=phases)._polarities(members),
                everywhere=all(phases[number] is None for number in members),
                alternates=self._alternates(members),
                near=near,
            )
            for number in members:
                phases[number] = (phases[number] or NO_PHASE).plus(slope, offset)
        return replace(self, phases=phases)

    def pixels(self, number: int) -> Tensor:
        """Echoes of one shot along x, corrected, complex64 `(echo, coil, x)`."""
        shot, phase = self.shots[number], self.phases[number]
        pixels = torch.stack([echo.pixels for echo in shot.echoes])
        if phase is None:
            return pixels
        return pixels * phase.factors(shot.polarities(), shot.echo_numbers(), pixels.shape[-1])

    def image_shots(self) -> list[int]:
        """Numbers of the shots that are part of the image."""
        return [n for n, shot in enumerate(self.shots) if shot.echoes and not shot.echoes[0].only_calibrates]

    def coil_image(self, members: Sequence[int]) -> Tensor:
        """What the coils see of some shots, complex64 `(coil, y, x)`; of a volume, the projection along z."""
        return sum(self._polarities(members))

    def _polarities(self, members: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images of the positive and of the negative echoes alone."""
        n_coils, n_pixels = self.shots[members[0]].echoes[0].pixels.shape
        kspace = torch.zeros(2, self.encoding.encoded_matrix[1], n_coils, n_pixels, dtype=torch.complex64)
        for number in members:
            for echo, pixels in zip(self.shots[number].echoes, self.pixels(number), strict=True):
                if self._is_central(echo) and pixels.shape == kspace.shape[2:] and pixels.isfinite().all():
                    kspace[0 if echo.is_positive else 1, self.encoding.row(echo.steps[0])] += pixels
        positive, negative = to_image(kspace.movedim(1, 2), (-2,))
        return positive, negative

    def _alternates(self, members: Sequence[int]) -> bool:
        """Whether rows of both polarities take turns, as in one train; in several they come in groups."""
        echoes = [echo for number in members for echo in self.shots[number].echoes]
        rows = sorted({echo.steps[0] for echo in echoes})
        step = min((b - a for a, b in pairwise(rows)), default=1)
        places = [{echo.steps[0] % (2 * step) for echo in echoes if echo.is_positive == way} for way in (True, False)]
        return max(len(place) for place in places) == 1

    def _is_central(self, echo: Echo) -> bool:
        """Whether it is a line of the central partition, and lies within the matrix."""
        is_inside = 0 <= self.encoding.row(echo.steps[0]) < self.encoding.encoded_matrix[1]
        return is_inside and echo.steps[1] == self.encoding.step2.center


def ghosts(before: Corrected, after: Corrected) -> tuple[float | None, float | None]:
    """Return the ghost level of the image, before and after; None where aliases, or the object, lie in its place.

    Where the object is, the image with the least ghost tells: the corrected one, or one that is made for that alone.
    """
    members = after.image_shots()
    if after.encoding.acceleration[0] > 1 or not members:
        return None, None
    best = after if after.is_told else after.refined()
    images = [root_sum_of_squares(corrected.coil_image(members)) for corrected in (before, after, best)]
    mask = object_mask(images[2])
    return ghost_level(images[0], mask), ghost_level(images[1], mask)


def _own_phase(shot: Shot, *, per_coil: bool) -> EchoPhase | None:
    navigators = [echo for echo in shot.navigators if echo.pixels.isfinite().all()]
    if len({echo.pixels.shape for echo in navigators}) != 1:
        return None
    polarities = torch.tensor([echo.is_positive for echo in navigators])
    return navigator_phase(torch.stack([echo.pixels for echo in navigators]), polarities, per_coil=per_coil)
