"""Scan the head phantom by echo trains: each sample is the phantom's own k-space, where the gradient had led to."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor
from tqdm import tqdm

from gadgets.mrd import ismrmrd
from kband_core.phantom import coil_covariance, coil_samples, complex_noise, head_phantom, loop_coils
from kband_core.whitening import whiten, whitening_matrix
from pipelines.simulation.epi_protocol import (
    FLASH_ENCODING,
    EchoTrain,
    PlannedShot,
    check_protocol,
    epi_header_xml,
    plan_shots,
)
from pipelines.simulation.simulated_protocol import FOV_MM, PlannedLine, Protocol, bit
from pipelines.simulation.simulated_scan import (
    HIDDEN,
    OBJECT_PHASE,
    WHITE_MATTER,
    acquisition_of,
    kspace_of_slices,
    noise_lines,
    offset_mm,
    reference_images,
)

NAVIGATOR = bit(ismrmrd.ACQ_IS_PHASECORR_DATA)
REVERSED = bit(ismrmrd.ACQ_IS_REVERSE)
FINE = 64  # steps of the gradient's waveform in a dwell time


def simulate_epi(
    protocol: Protocol, train: EchoTrain, *, progress: bool = False
) -> tuple[str, list[ismrmrd.Acquisition], list[ismrmrd.Image]]:
    """Return MRD header, acquisitions and reference images, as `simulate_scan` does, of a scan by echo trains.

    The reference knows neither trains nor their faults. Raises `ValueError` for what no echo train does.
    """
    check_protocol(protocol, train)
    rng = torch.Generator().manual_seed(protocol.seed)
    covariance = coil_covariance(protocol.n_coils, rng) * (WHITE_MATTER / protocol.snr) ** 2
    cartesian = [kspace.squeeze(1) for kspace in kspace_of_slices(protocol, progress)]
    read = [_Echoes(protocol, train, number) for number in range(protocol.n_slices)]
    acquisitions = noise_lines(protocol, covariance, rng) if protocol.noise_scan else []
    for shot in tqdm(list(plan_shots(protocol, train)), desc="shots", **({} if progress else HIDDEN), delay=1):
        encoding = FLASH_ENCODING if shot.is_flash else 0
        for line, data in _shot(protocol, train, shot, read, cartesian):
            noisy = data + complex_noise(covariance, (protocol.n_samples,), rng)
            acquisitions.append(acquisition_of(protocol, line, noisy, len(acquisitions) + 1, encoding=encoding))
    if protocol.noise_scan:
        whitening = whitening_matrix(covariance, 1.0)
        cartesian = [whiten(kspace, whitening) for kspace in cartesian]
    reference = reference_images(protocol, [kspace.unsqueeze(1) for kspace in cartesian], acquisitions)
    return epi_header_xml(protocol, train), acquisitions, reference


def gradient_positions(train: EchoTrain, n_samples: int) -> Tensor:
    """Return where samples lie along kx, -0.5 to 0.5 of the extent that is read: the gradient, added up in fine steps.

    Float64 `(sample,)`. No formula of the reconstruction is used.
    """
    ramp, flat, delay = train.times
    step = 2560 / n_samples / FINE
    middle = (torch.arange(n_samples * FINE, dtype=torch.float64) + 0.5) * step + delay
    height = torch.minimum((middle / ramp).clamp(max=1), ((2 * ramp + flat - middle) / ramp).clamp(max=1))
    area = torch.cat([torch.zeros(1, dtype=torch.float64), height.cumsum(0)])
    return area[FINE // 2 :: FINE] / area[-1] - 0.5


class _Echoes:
    """What one slice gives to echoes of both ways, and to navigators: `(coil, row, sample)`, as they are read."""

    def __init__(self, protocol: Protocol, train: EchoTrain, number: int) -> None:
        head = head_phantom(offset_mm(protocol, number) / (FOV_MM / 2))
        coils = loop_coils(protocol.n_coils, object_phase=OBJECT_PHASE)
        n, n_samples = protocol.matrix, protocol.n_samples
        rows = torch.arange(n, dtype=torch.float64) - n // 2  # cycles per field of view, which is the head's box
        scale = math.sqrt(n * n_samples) / protocol.oversampling
        positions = gradient_positions(train, n_samples) * n
        self.by_way = {}
        for sign in (1, -1):
            kx = sign * (positions + train.echo_shift / 2)  # a late gradient is late both ways
            turn = torch.polar(torch.tensor(scale), torch.tensor(sign * train.echo_phase / 2.0))
            self.by_way[sign] = coil_samples(head, coils, rows, kx) * turn


def _shot(
    protocol: Protocol, train: EchoTrain, shot: PlannedShot, read: list[_Echoes], cartesian: list[Tensor]
) -> list[tuple[PlannedLine, Tensor]]:
    """Lines of one shot, navigators among them, with their samples `(coil, sample)`; reversed ones bear the flag."""
    if shot.is_flash:
        return [(line, cartesian[line.slice][:, line.row]) for line in shot.lines]
    first = shot.lines[0]
    navigators = [
        PlannedLine(protocol.matrix // 2, first.slice, first.average, first.repetition, NAVIGATOR)
        for _ in range(train.n_navigators)
    ]
    in_order = [*shot.lines[: train.n_before], *navigators, *shot.lines[train.n_before :]]
    made = []
    for echo, line in enumerate(in_order, start=0 if train.n_before else -train.n_navigators):
        sign = 1 if echo % 2 == 0 else -1
        drift = torch.polar(torch.tensor(1.0), torch.tensor(train.echo_drift * float(echo)))
        data = read[line.slice].by_way[sign][:, line.row] * drift
        made.append((replace(line, flags=line.flags | (0 if sign == 1 else REVERSED)), data))
    return made
