"""Projection-based k-space transformer: spokes that were not measured, predicted from those that were."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kband_core.angular_interpolation import angles_between, interpolated, neighbours
from kband_core.networks.spoke_attention import SpokeBlock
from kband_core.nufft import nufft
from kband_core.operators import EncodingOperator
from kband_core.predicted_spokes import agreed
from kband_core.projections import BAND, Spokes, to_projections, to_spokes
from kband_core.scaling import relative_level
from kband_core.shots import Shots
from kband_core.solvers import solve_normal

START = 0.01  # weight of the CG-SENSE image, relative to samples per pixel
TYPICAL = 0.03  # noise of a sample over the brightness of the image
MOST_WEIGHT, MOST_ITERATIONS = 3, 4  # times those at typical noise
NEAREST = 1e-3  # radians: gaps count by their logarithm
RANGES = {"channels": (1, 256), "heads": (1, 16), "hidden": (1, 1024), "layers": (1, 16), "kernel": (1, 31),
          "start_iterations": (1, 200), "cg_iterations": (1, 200), "weight": (1e-6, 10.0)}  # fmt: skip


class Pkt(nn.Module):
    """Encoder and decoder over spokes, not autoregressive: any angle can be asked for, whatever else is asked.

    Coils are compressed to one by SENSE: tokens are projections of the CG-SENSE image, at measured angles in the
    encoder. The decoder is asked for an angle with what linear interpolation between measured spokes gives, and what
    the CG-SENSE image has there; it answers with a residual of the latter, which is nearer the truth. The image is
    CG-SENSE, by `cg_iterations`, of what was measured, together with predicted spokes that count `weight` as much, both
    at typical noise. What was measured counts by its noise, as a Wiener filter has it: of cleaner scans more, with
    smaller λ and more iterations; of a batch the noisiest plane tells how many.

    Gao et al., A projection-based k-space transformer network, MICCAI 2022; sizes, codes and the CG-SENSE spokes are
    ours.
    """

    def __init__(
        self, channels: int = 32, heads: int = 4, hidden: int = 64, layers: int = 2, kernel: int = 5,
        start_iterations: int = 12, cg_iterations: int = 8, weight: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        given = {"channels": channels, "heads": heads, "hidden": hidden, "layers": layers, "kernel": kernel,
                 "start_iterations": start_iterations, "cg_iterations": cg_iterations, "weight": weight}  # fmt: skip
        for name, (least, most) in RANGES.items():
            if not least <= given[name] <= most:
                raise ValueError(f"pkt: {name} is {given[name]}, {least:g} to {most:g} expected")
        if channels % heads or kernel % 2 == 0:
            raise ValueError(
                f"pkt: {channels} channels for {heads} heads, kernel {kernel}; a multiple and an odd number expected"
            )
        self.start_iterations, self.cg_iterations, self.weight = start_iterations, cg_iterations, weight
        self.measured = nn.Conv1d(2 + 1, channels, kernel, padding=kernel // 2)
        self.asked = nn.Conv1d(4 + 3, channels, kernel, padding=kernel // 2)
        self.encoder, self.decoder = (
            nn.ModuleList(SpokeBlock(channels, heads, hidden, kernel) for _ in range(layers)) for _ in range(2)
        )
        self.answer = nn.Conv1d(channels, 2, kernel, padding=kernel // 2)
        nn.init.zeros_(self.answer.weight)
        nn.init.zeros_(self.answer.bias)

    def forward(self, kspace: Tensor, operator: EncodingOperator, noise: Tensor) -> Tensor:
        """Reconstruct weighted spokes `(b, coil, shot, sample)` to `(b, set, y, x)`. Raises `ValueError` for others."""
        predicted, regularisation = self.predictions(kspace, operator, noise)
        level = noise / TYPICAL
        weight = self.weight * level.square().clamp(max=MOST_WEIGHT)
        regularisation = regularisation * level.square()[:, None, None, None]
        more = min(max(1 / float(level.max()), 1), MOST_ITERATIONS)
        n_iterations = round(more * self.cg_iterations)
        return agreed(operator, operator.adjoint(kspace), predicted, weight, regularisation, n_iterations)

    def predictions(
        self, kspace: Tensor, operator: EncodingOperator, noise: Tensor
    ) -> tuple[list[tuple[Spokes, Tensor]], Tensor]:
        """Return, for each plane, the spokes that were not measured and their samples `(set, spoke, sample)`; and λ."""
        start, regularisation = self.start(kspace, operator)
        shape, planes = tuple(start.shape[-2:]), []
        for sets, coords, weight, level in zip(start, *_measured(operator), noise, strict=True):
            measured = Spokes.of(coords[weight.any(-1)], shape)
            wanted = measured.along(angles_between(measured.angle, directions(shape)))
            found = torch.stack([to_spokes(self.predict(one, measured, wanted, level), wanted) for one in sets])
            planes.append((wanted, found / half_ramp(wanted)))
        return planes, regularisation

    def start(self, kspace: Tensor, operator: EncodingOperator) -> tuple[Tensor, Tensor]:
        """Return the CG-SENSE images `(b, set, y, x)`, and λ of each."""
        b = operator.adjoint(kspace)
        energy = _measured(operator)[1].square().sum((-2, -1)) / b.shape[-2:].numel()
        regularisation = START * energy[:, None, None, None]
        return solve_normal(operator, b, regularisation, self.start_iterations), regularisation

    def predict(self, image: Tensor, measured: Spokes, wanted: Spokes, noise: Tensor) -> Tensor:
        """Return projections `(wanted, PIXELS)` of samples times `half_ramp`, for the CG-SENSE `image` `(y, x)`."""
        seen, guess = (projected(image, spokes) for spokes in (measured, wanted))
        found = neighbours(measured.angle, wanted.angle)
        size = seen.abs().mean().clamp(min=torch.finfo(torch.float32).tiny)
        level = relative_level(noise)
        tokens = torch.cat([seen, seen.flip(-1)]) / size  # the same spokes, read from the other end
        angle = torch.cat([measured.angle, measured.angle + math.pi])
        tokens = self.measured(torch.cat([_channels(tokens), level.expand(len(angle), 1, seen.shape[-1])], 1))
        for block in self.encoder:
            tokens = block(tokens, angle)
        gaps = [gap.clamp(min=NEAREST).log() for gap in (found.to_before, found.to_after)]
        told = torch.stack([*gaps, level.expand_as(gaps[0])], 1)[..., None].expand(-1, -1, seen.shape[-1])
        asked = [_channels(one / size) for one in (interpolated(seen, found), guess)]
        answers = self.asked(torch.cat([*asked, told], 1))
        for block in self.decoder:
            answers = block(answers, wanted.angle, tokens, angle)
        residual = torch.view_as_complex(self.answer(answers).movedim(1, -1).contiguous())
        return guess + size * residual


def directions(shape: tuple[int, int]) -> int:
    """Count the spokes that leave no gap in the band of projections, or in k-space where that is smaller."""
    return math.ceil(math.pi * min(BAND, max(shape) / 2))


def half_ramp(spokes: Spokes) -> Tensor:
    """Weight samples by the root of |k|: squares along all spokes then add up to those of the image."""
    return (spokes.k.abs().clamp(min=1) / BAND).sqrt()


def projected(image: Tensor, spokes: Spokes) -> Tensor:
    """Project an image `(y, x)`, with `half_ramp`, along spokes: `(spoke, PIXELS)`."""
    samples = nufft(image, spokes.coords(tuple(image.shape[-2:])))
    return to_projections(samples * half_ramp(spokes), spokes)


def _channels(projections: Tensor) -> Tensor:
    """Complex `(spoke, pixel)` to real `(spoke, 2, pixel)`."""
    return torch.view_as_real(projections).movedim(-1, 1)


def _measured(operator: EncodingOperator) -> tuple[Tensor, Tensor]:
    """Coordinates and weights of a batch of shots. Raises `ValueError` for lines on a grid."""
    if not isinstance(operator.sampling, Shots):
        raise ValueError("pkt: samples lie on a grid; spokes expected")
    return operator.sampling.coords, operator.sampling.weight
