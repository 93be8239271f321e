"""Scans for the table of faults: a simulated head or a real one, its lines at hand to be spoiled, and the truth."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import ismrmrd
import torch
from measure import fully_sampled
from torch import Tensor

from gadgets import flags
from kband_core.coils import root_sum_of_squares
from kband_core.fourier import resize, to_image, to_kspace
from kband_core.phantom import Phantom, coil_covariance, coil_kspace, complex_noise, head_phantom, loop_coils
from kband_core.training.undersampling import Undersampling
from pipelines.evaluation.undersampled_scan import undersample
from pipelines.files.mrd_stream import open_raw
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import OBJECT_PHASE, WHITE_MATTER, simulate_scan

MATRIX = 128
NOISELESS = 1e9  # as SNR


@dataclass
class FaultyScan:
    """A scan as it comes from the scanner, and the root sum of squares `(y, x)` of its noise-free full data."""

    header_xml: str
    lines: list[ismrmrd.Acquisition]
    reference: Tensor

    def image_lines(self) -> list[ismrmrd.Acquisition]:
        """The lines that carry signal, noise and the like apart."""
        return [line for line in self.lines if not flags.is_never_image(line)]

    def row(self, step1: int) -> ismrmrd.Acquisition:
        """The last line of that encoding step: the image's own, where a reference scan came before."""
        return [line for line in self.image_lines() if line.idx.kspace_encode_step_1 == step1][-1]


def head_kspace(
    *, n_coils: int = 8, fov: float = 1.0, phantom: Phantom | None = None, turned_mm: float = 0.0
) -> Tensor:
    """Noise-free k-space `(coil, ky, 2·kx)` of the head; a `fov` along the lines below 0.92 wraps it."""
    coils = loop_coils(n_coils, object_phase=OBJECT_PHASE)
    if turned_mm:  # the head moves in the array, and with it the array in the head's frame
        coils = _moved(coils, turned_mm / 230)
    return coil_kspace(phantom or head_phantom(), coils, (MATRIX, MATRIX), fov=(fov, 1.0))


def patterned_kspace(pattern: Tensor) -> Tensor:
    """K-space of the head whose image is multiplied by a real `pattern` `(y, x)` of pixels."""
    coil_image = to_image(head_kspace())
    wide = torch.ones(coil_image.shape[-2:])
    wide[:, MATRIX // 2 : MATRIX // 2 + MATRIX] = pattern
    return to_kspace(coil_image * wide)


def head(
    acceleration: int = 1,
    *,
    kspace: Tensor | None = None,
    calibrated_by: Tensor | None = None,
    acs_lines: int = 24,
    snr: float = 40.0,
    correlation: float | None = None,
    louder: Mapping[int, float] | None = None,
    gains: Tensor | None = None,
    noise_scan: bool = False,
    seed: int = 0,
) -> FaultyScan:
    """A scan of `kspace`, by default the head's, every `acceleration`-th line.

    `calibrated_by`: k-space of a separate reference scan. `correlation` of the noise of neighbours in the ring, all
    coils alike; by default coils differ by ±30 % and neighbours correlate by 0.2. `louder`: by coil, the factor of its
    noise. `gains` `(coil,)` amplify signal and noise.
    """
    kspace = head_kspace() if kspace is None else kspace
    rng = torch.Generator().manual_seed(seed)
    n_coils = len(kspace)
    covariance = coil_covariance(n_coils, rng) if correlation is None else _ring(n_coils, correlation)
    factors = torch.ones(n_coils)
    for coil, factor in (louder or {}).items():
        factors[coil] = factor
    amplify = torch.ones(n_coils) if gains is None else gains
    factors = factors * amplify
    covariance = covariance * torch.outer(factors, factors) * (WHITE_MATTER / snr) ** 2
    protocol = Protocol(
        matrix=MATRIX, n_coils=n_coils, n_slices=1, acceleration=acceleration, acs_lines=acs_lines, snr=NOISELESS,
        calibration="embedded" if calibrated_by is None else "separate", noise_scan=noise_scan,
    )  # fmt: skip
    header_xml, lines = _empty_lines(protocol)
    for line in lines:
        from_reference = calibrated_by is not None and flags.is_calibration_only(line)
        signal = calibrated_by if from_reference else kspace
        noise = complex_noise(covariance, (line.number_of_samples,), rng)
        if flags.is_noise(line):
            line.data[:] = noise.numpy()
        else:
            line.data[:] = (amplify[:, None] * signal[:, line.idx.kspace_encode_step_1] + noise).numpy()
    return FaultyScan(header_xml, lines, _reference(amplify[:, None, None] * kspace))


def real(path: Path, acceleration: int = 1, *, change: Callable[[Tensor], Tensor] | None = None) -> FaultyScan:
    """A fully sampled scan of a folder of real ones, its first slice, of which lines are left out.

    `change` takes its k-space `(coil, ky, kx)` without oversampling, which is also the truth, and returns what comes in
    its place. Only for scans without oversampling.
    """
    kspace = fully_sampled(path)
    changed = kspace if change is None else change(kspace)
    with open_raw(path) as raw:
        header_xml, lines = raw.header_xml, [line for line in raw if line.idx.slice == 0]
    if acceleration > 1:
        undersampling = Undersampling(line_acceleration=acceleration, acs_lines=24, sampling="equispaced")
        thinned = undersample(header_xml, undersampling, rng=torch.Generator().manual_seed(0))
        header_xml, lines = thinned.header_xml, list(thinned.lines(lines))
    first = kspace.shape[-2] // 2 - _centre(header_xml)
    if change is not None:
        for line in lines:
            if not flags.is_never_image(line):
                line.data[:] = changed[:, line.idx.kspace_encode_step_1 + first].numpy()
    return FaultyScan(header_xml, lines, root_sum_of_squares(to_image(kspace)))


@lru_cache(maxsize=16)
def _planned(protocol: Protocol) -> tuple[str, list[ismrmrd.Acquisition]]:
    header_xml, lines, _ = simulate_scan(protocol)
    return header_xml, lines


def _empty_lines(protocol: Protocol) -> tuple[str, list[ismrmrd.Acquisition]]:
    header_xml, lines = _planned(protocol)
    return header_xml, copy.deepcopy(lines)


def _reference(kspace: Tensor) -> Tensor:
    return root_sum_of_squares(resize(to_image(kspace), [MATRIX], [-1]))


def _ring(n_coils: int, correlation: float) -> Tensor:
    coil = torch.arange(n_coils)
    apart = (coil[:, None] - coil).abs()
    return (correlation ** torch.minimum(apart, n_coils - apart)).to(torch.complex64)


def _moved(coils, boxes: float):
    """The coils shifted along y, by the theorem."""
    turn = torch.exp(-2j * torch.pi * coils.frequencies * boxes)
    return type(coils)(coils.coefficients * turn[:, None], coils.frequencies)


def _centre(header_xml: str) -> int:
    header = ismrmrd.xsd.CreateFromDocument(header_xml)
    return header.encoding[0].encodingLimits.kspace_encoding_step_1.center
