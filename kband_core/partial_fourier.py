"""Partial Fourier: what was left out on one side of k-space, told from the other side and from a smooth phase.

The k-space of a real image is Hermitian: half of it tells the rest. Images have a phase; where it is smooth, what was
measured on both sides of the centre tells it. Where it is not, predictions are wrong, and only the data can say so: a
strip that was measured on both sides is hidden on one, and predicted.

Images are `(..., z, y, x)` or `(..., y, x)`, complex, as any method has made them of coils. All methods here keep what
the image holds where k-space was measured, and its phase; they change only samples whose mirror image was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kband_core.fourier import to_image, to_kspace

N_ITERATIONS = 3  # of POCS: on brains one is best, on phantoms of smooth phase five, and more lose on all
NARROWEST = 6  # samples on either side of the centre that tell a phase, and can spare half of them to be predicted

SLIGHT = 0.05  # the weight of a prediction that is not worth to be told from zeros


@dataclass(frozen=True)
class Span:
    """What of k-space was measured along one axis of the image: samples `first` to `stop` − 1, around the centre N//2.

    `dim` counts from the end: −2 is ky. What lies beyond the mirror image of the longer side is of no image: it was
    left out for the sake of pixel size, on both sides.
    """

    dim: int
    length: int
    first: int
    stop: int

    @property
    def below(self) -> int:
        """Samples before the centre."""
        return self.length // 2 - self.first

    @property
    def above(self) -> int:
        """Samples behind the centre."""
        return self.stop - 1 - self.length // 2

    @property
    def half_width(self) -> int:
        """Samples on either side of the centre that were measured on both."""
        return min(self.below, self.above)

    @property
    def fraction(self) -> float:
        """The part of k-space that was measured, of what a scan of the same pixels measures without partial Fourier."""
        return (self.stop - self.first) / min(2 * max(self.below, self.above) + 2, self.length)

    def offsets(self, device: torch.device | None = None) -> Tensor:
        """Distance of each sample from the centre, broadcast with the image."""
        return (torch.arange(self.length, device=device) - self.length // 2).reshape(-1, *[1] * (-self.dim - 1))

    def measured(self, device: torch.device | None = None) -> Tensor:
        """Which samples were measured, bool."""
        offsets = self.offsets(device)
        return (offsets >= -self.below) & (offsets <= self.above)

    def mirrored(self, device: torch.device | None = None) -> Tensor:
        """Which samples have a mirror image that was measured, bool."""
        offsets = self.offsets(device)
        return (offsets >= -self.above) & (offsets <= self.below)

    def narrowed(self) -> Span:
        """The same without the outer half of what was measured on the short side."""
        hidden = self.half_width // 2
        if self.below < self.above:
            return replace(self, first=self.first + hidden)
        return replace(self, stop=self.stop - hidden)


@dataclass(frozen=True)
class Prediction:
    """What POCS makes of an image, as far as it can be trusted.

    correlation  of what it predicts of a hidden strip that was measured, with the truth: 1 if it is right
    weight       with which its prediction stands in the image: 0 leaves zeros, 1 is POCS
    """

    image: Tensor
    correlation: float
    weight: float


def is_predictable(spans: Sequence[Span]) -> bool:
    """Whether enough was measured on both sides of the centre to tell a phase."""
    return all(span.half_width >= NARROWEST for span in spans)


def homodyne(image: Tensor, spans: Sequence[Span]) -> Tensor:
    """Count twice what was measured on one side only, and take the part in phase: Re[e^{−iφ}·Fᴴ(W·k)]·e^{iφ}.

    φ is the phase of the low frequencies. W falls from 2 over the symmetric part to 0, and W(k) + W(−k) = 2; of several
    axes a sample and its mirror image share by the products of their ramps.

    Noll, Nishimura and Macovski, IEEE TMI 10:154 (1991).
    """
    dims = [span.dim for span in spans]
    kspace = to_kspace(image, dims)
    here, mirror = (torch.ones(1, device=image.device) for _ in range(2))
    for span in spans:
        towards = 1 if span.below < span.above else -1
        ramp = towards * span.offsets(image.device) / (2 * span.half_width + 1)
        here, mirror = here * (0.5 + ramp).clamp(0, 1), mirror * (0.5 - ramp).clamp(0, 1)
    weight = 2 * here / (here + mirror).clamp(min=torch.finfo(here.dtype).tiny)
    phase = _smooth_phase(kspace, spans)
    return _filled(image, (to_image(weight * kspace, dims) * phase.conj()).real * phase, spans)


def pocs(image: Tensor, spans: Sequence[Span], n_iterations: int = N_ITERATIONS) -> Tensor:
    """Give the image the phase of its low frequencies, restore what was measured, and repeat: x ← |x|·e^{iφ}.

    Haacke, Lindskog and Lin, J Magn Reson 92:126 (1991).
    """
    dims = [span.dim for span in spans]
    phase = _smooth_phase(to_kspace(image, dims), spans)
    predicted = image
    for _ in range(n_iterations):
        predicted = _filled(image, predicted.abs() * phase, spans)
    return predicted


def trusted_pocs(image: Tensor, spans: Sequence[Span]) -> Prediction:
    """Fill by POCS to the extent that it predicts what was measured: the outer half of the symmetric strip, hidden.

    t being the strip and q its prediction, ρ their correlation: the factor that brings q nearest to t is
    g = Re⟨q, t⟩/‖q‖², between 0 and 1. What was left out lies further out, where less is signal, and is predicted less
    well: the weight is g·ρ², which gives up a little of what g·ρ gains on brains, and halves what it loses after SENSE
    (benchmarks/partial_fourier.py). Of several axes the least weight counts. One answer for all planes of `image`: they
    are one object. Raises `ValueError` unless the spans are predictable.
    """
    if not is_predictable(spans):
        least = min(span.half_width for span in spans)
        raise ValueError(f"partial Fourier: {least} samples on both sides of the centre, {NARROWEST} needed")
    agreements = torch.stack([_agreement(image, spans, number) for number in range(len(spans))])
    correlation, weight = min((_trust(*told) for told in agreements.tolist()), key=lambda pair: pair[1])
    if weight < SLIGHT:
        return Prediction(image, correlation, 0.0)
    return Prediction(torch.lerp(image, pocs(image, spans), weight), correlation, weight)


def _agreement(image: Tensor, spans: Sequence[Span], number: int) -> Tensor:
    """Re⟨q, t⟩, ‖q‖ and ‖t‖ of what is predicted of one axis's strip, q, and what was measured there, t."""
    dims, device = [span.dim for span in spans], image.device
    narrowed = [span.narrowed() if n == number else span for n, span in enumerate(spans)]
    seen = _all(span.measured(device) for span in narrowed)
    kspace = to_kspace(image, dims)
    hidden = _all(span.measured(device) for span in spans) & ~seen
    without = torch.where(hidden, 0, kspace)
    truth = kspace - without
    guess = torch.where(hidden, to_kspace(pocs(to_image(without, dims), narrowed), dims), 0)
    agreement = torch.linalg.vecdot(guess.flatten(), truth.flatten()).real
    return torch.stack([agreement, *(torch.linalg.vector_norm(part) for part in (guess, truth))])


def _trust(agreement: float, of_guess: float, of_truth: float) -> tuple[float, float]:
    """Correlation and weight of a prediction."""
    if of_guess * of_truth == 0:
        return 0.0, 0.0
    correlation = agreement / (of_guess * of_truth)
    return correlation, correlation**2 * min(max(agreement / of_guess**2, 0.0), 1.0)


def _smooth_phase(kspace: Tensor, spans: Sequence[Span]) -> Tensor:
    """e^{iφ} of what was measured on both sides, under a Hann window."""
    for span in spans:
        reach = (span.offsets(kspace.device) / (span.half_width + 1)).clamp(-1, 1)
        kspace = kspace * torch.cos(torch.pi / 2 * reach).square()
    return torch.sgn(to_image(kspace, [span.dim for span in spans]))


def _filled(image: Tensor, predicted: Tensor, spans: Sequence[Span]) -> Tensor:
    """The image, with what is predicted where nothing was measured, but of the mirror image."""
    dims, device = [span.dim for span in spans], image.device
    change = to_kspace(predicted - image, dims)
    missing = _all(span.mirrored(device) for span in spans) & ~_all(span.measured(device) for span in spans)
    return image + to_image(change * missing, dims)


def _all(masks) -> Tensor:
    together, *others = masks
    for mask in others:
        together = together & mask
    return together
