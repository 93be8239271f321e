"""Scan the head phantom several slices at once: the sum of their own k-spaces, each with the phase of the blips."""

from __future__ import annotations

import cmath
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor
from tqdm import tqdm

from gadgets.mrd import ismrmrd
from kband_core.phantom import coil_covariance, complex_noise
from kband_core.whitening import whiten, whitening_matrix
from pipelines.simulation.header_document import header_document
from pipelines.simulation.simulated_header import header_xml
from pipelines.simulation.simulated_protocol import SLICE_SPACING_MM, PlannedLine, Protocol, bit, plan_lines
from pipelines.simulation.simulated_scan import (
    HIDDEN,
    WHITE_MATTER,
    acquisition_of,
    kspace_of_slices,
    noise_lines,
    reference_images,
)

xsd = ismrmrd.xsd

REFERENCE_ENCODING = 1
CALIBRATES = bit(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)


@dataclass(frozen=True)
class Excitation:
    """How many slices each pulse excites, as far apart as there are, and by which part of the field of view the blips
    shift each: 1/`fov_shift`, or not at all if that is 0. `reference_has_blips`: single-band lines are shifted as well.
    """

    factor: int
    fov_shift: int
    reference_has_blips: bool = False

    def n_groups(self, protocol: Protocol) -> int:
        """How many pulses excite all slices."""
        return protocol.n_slices // self.factor

    def blip(self, protocol: Protocol, number: int, row: int) -> complex:
        """The phase that blips give a slice, the `number`-th of its group, in a row of k-space."""
        if not self.fov_shift:
            return 1
        return cmath.rect(1, 2 * cmath.pi * number * (row - protocol.matrix // 2) / self.fov_shift)


def simulate_multiband(
    protocol: Protocol, excitation: Excitation, *, progress: bool = False
) -> tuple[str, list[ismrmrd.Acquisition], list[ismrmrd.Image]]:
    """Return MRD header, acquisitions and reference images, as `simulate_scan` does, of slices excited at once.

    Single-band lines come first, `acs_lines` of each slice. Raises `ValueError` for what is not simulated.
    """
    _check(protocol, excitation)
    rng = torch.Generator().manual_seed(protocol.seed)
    covariance = coil_covariance(protocol.n_coils, rng) * (WHITE_MATTER / protocol.snr) ** 2
    kspace = [slice_kspace.squeeze(1) for slice_kspace in kspace_of_slices(protocol, progress)]
    acquisitions = noise_lines(protocol, covariance, rng) if protocol.noise_scan else []
    lines = _planned(protocol, excitation)
    for line, encoding in tqdm(lines, desc="lines", **({} if progress else HIDDEN), delay=1):
        measure = _single if encoding == REFERENCE_ENCODING else _folded
        data = measure(protocol, excitation, kspace, line) + complex_noise(covariance, (protocol.n_samples,), rng)
        start = protocol.first_sample
        acquisitions.append(acquisition_of(protocol, line, data[:, start:], len(acquisitions) + 1, encoding=encoding))
    if protocol.noise_scan:
        whitening = whitening_matrix(covariance, 1.0)
        kspace = [whiten(slice_kspace, whitening) for slice_kspace in kspace]
    reference = reference_images(protocol, [slice_kspace.unsqueeze(1) for slice_kspace in kspace], acquisitions)
    return _header(protocol, excitation), acquisitions, reference


def _check(protocol: Protocol, excitation: Excitation) -> None:
    if excitation.factor < 2 or protocol.n_slices % excitation.factor:
        raise ValueError(f"{protocol.n_slices} slices cannot be excited {excitation.factor} at once")
    if protocol.slab or protocol.is_along_shots or protocol.held_out_lines or protocol.interleaved:
        raise ValueError("slabs, trajectories, held-out lines, interleaved slices: simulated of single bands only")
    if protocol.acs_rows[0] < protocol.first_row or protocol.acs_rows[-1] >= protocol.matrix:
        raise ValueError(f"{protocol.acs_lines} single-band lines do not fit around the centre of k-space")


def _planned(protocol: Protocol, excitation: Excitation) -> list[tuple[PlannedLine, int]]:
    """Lines in the order of their acquisition, each with its encoding; slices of folded lines are groups."""
    single = product(range(protocol.n_slices), protocol.acs_rows)
    planned = [(PlannedLine(row, number, flags=CALIBRATES), REFERENCE_ENCODING) for number, row in single]
    groups = replace(protocol, n_slices=excitation.n_groups(protocol), calibration="none")
    return planned + [(line, 0) for line in plan_lines(groups)]


def _single(protocol: Protocol, excitation: Excitation, kspace: list[Tensor], line: PlannedLine) -> Tensor:
    number = line.slice // excitation.n_groups(protocol) if excitation.reference_has_blips else 0
    return kspace[line.slice][:, line.row] * excitation.blip(protocol, number, line.row)


def _folded(protocol: Protocol, excitation: Excitation, kspace: list[Tensor], line: PlannedLine) -> Tensor:
    together = kspace[line.slice :: excitation.n_groups(protocol)]
    return sum(one[:, line.row] * excitation.blip(protocol, number, line.row) for number, one in enumerate(together))


def _header(protocol: Protocol, excitation: Excitation) -> str:
    """The header: folded lines in encoding 0, single bands in encoding 1."""
    header = xsd.CreateFromDocument(header_xml(replace(protocol, calibration="none")))
    single = xsd.CreateFromDocument(header_xml(replace(protocol, acceleration=1, partial_fourier=1.0))).encoding[0]
    rows = protocol.acs_rows
    single.encodingLimits.kspace_encoding_step_1 = xsd.limitType(
        minimum=rows[0] - protocol.first_row, maximum=rows[-1] - protocol.first_row, center=protocol.centre_step
    )
    folded, n_groups = header.encoding[0], excitation.n_groups(protocol)
    folded.encodingLimits.slice = xsd.limitType(minimum=0, maximum=n_groups - 1, center=0)
    distance = n_groups * SLICE_SPACING_MM
    if folded.parallelImaging is None:
        factor = xsd.accelerationFactorType(kspace_encoding_step_1=1, kspace_encoding_step_2=1)
        folded.parallelImaging = xsd.parallelImagingType(accelerationFactor=factor)
    folded.parallelImaging.multiband = xsd.multibandType(
        spacing=[xsd.multibandSpacingType(dZ=[distance])],
        deltaKz=protocol.acceleration / (excitation.fov_shift * distance) if excitation.fov_shift else 0.0,
        multiband_factor=excitation.factor,
        calibration=xsd.multibandCalibrationType.SEPARABLE2_D,
        calibration_encoding=REFERENCE_ENCODING,
    )
    header.encoding.append(single)
    return header_document(header)
