"""Where the samples of an echo-planar readout lie along kx, told by the times of its gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Trapezoid:
    """A readout gradient that rises, stays and falls, and samples in the middle of it. Times in µs.

    Without ramps, and with a flat top as long as the sampling, samples are equidistant. Raises `ValueError` for times
    that cannot be.
    """

    ramp_up: float
    flat_top: float
    ramp_down: float
    dwell: float
    n_samples: int

    def __post_init__(self) -> None:
        if min(self.ramp_up, self.flat_top, self.ramp_down) < 0 or not (0 < self.duration < 1e6):
            raise ValueError(
                f"gradient of {self.ramp_up:g} + {self.flat_top:g} + {self.ramp_down:g} us, positive times expected"
            )
        if self.n_samples < 2 or not self.dwell > 0:
            raise ValueError(f"{self.n_samples} samples of {self.dwell:g} us, at least 2 of a positive time expected")
        if self.delay < -self.dwell:
            raise ValueError(
                f"{self.n_samples} samples of {self.dwell:g} us take {self.n_samples * self.dwell:g} us, but the "
                f"gradient lasts {self.duration:g} us"
            )

    @property
    def duration(self) -> float:
        """From the first rise to the end of the fall."""
        return self.ramp_up + self.flat_top + self.ramp_down

    @property
    def delay(self) -> float:
        """From the first rise to the beginning of the first sample: sampling stands in the middle of the gradient."""
        return (self.duration - self.n_samples * self.dwell) / 2

    def positions(self) -> Tensor:
        """Return kx of the samples, each in the middle of its dwell time, float64 `(sample,)`.

        In units of the extent that is read, edge to edge: -0.5 to 0.5 if all lies on the flat top. 0 is where the
        gradient has half of its area; with equal ramps the reversed readout has the same positions, in reverse.
        """
        times = self.delay + (torch.arange(self.n_samples, dtype=torch.float64) + 0.5) * self.dwell
        edges = torch.tensor([self.delay, self.duration - self.delay], dtype=torch.float64)
        first, last = self._area(edges)
        return (self._area(times) - self._area(torch.tensor([self.duration], dtype=torch.float64)) / 2) / (last - first)

    def _area(self, times: Tensor) -> Tensor:
        """Area under a gradient of height 1 until the given times."""
        times = times.clamp(0, self.duration)
        rising, left = times.clamp(max=self.ramp_up), self.duration - times
        falling = (self.ramp_down - left).clamp(min=0)
        area = times if self.ramp_up == 0 else times - rising + rising.square() / (2 * self.ramp_up)
        return area if self.ramp_down == 0 else area - falling.square() / (2 * self.ramp_down)
