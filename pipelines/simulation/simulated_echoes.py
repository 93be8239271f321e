"""Scan a belly of water and fat with several echoes: each shot reads all of them, one contrast each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from gadgets.images.series import QUANTITIES, image_series
from gadgets.mrd import ismrmrd
from kband_core.fourier import to_kspace
from kband_core.phantom import coil_covariance, coil_kspace, complex_noise, loop_coils
from kband_core.phantom_belly import Field, belly_echo, belly_maps
from kband_core.phantom_samples import coil_samples_at
from kband_core.relaxometry.fat_model import MHZ_PER_TESLA, check_echoes
from kband_core.whitening import whiten, whitening_matrix
from pipelines.simulation.header_document import header_document
from pipelines.simulation.simulated_header import header_xml
from pipelines.simulation.simulated_protocol import Protocol, bit, plan_lines
from pipelines.simulation.simulated_scan import (
    HIDDEN,
    OBJECT_PHASE,
    WHITE_MATTER,
    acquisition_of,
    noise_lines,
    reference_images,
)
from pipelines.simulation.simulated_shots import sampled_places

xsd = ismrmrd.xsd

FIELD = Field(20.0, 120.0, 180.0)
UNITS = {"PDFF": "%", "R2*": "/s", "B0": "Hz"}
LAST = bit(ismrmrd.ACQ_LAST_IN_MEASUREMENT)


@dataclass(frozen=True)
class Echoes:
    """Echo times in ms, field strength in T, and the field's error in Hz over the field of view."""

    times_ms: tuple[float, ...]
    field_t: float = 3.0
    field: Field = FIELD

    def __post_init__(self) -> None:
        check_echoes(self.times_ms, self.field_t)


def simulate_echoes(
    protocol: Protocol, echoes: Echoes, *, progress: bool = False
) -> tuple[str, list[ismrmrd.Acquisition], list[ismrmrd.Image]]:
    """Return MRD header, acquisitions and references, as `simulate_scan` does, of a belly that all slices show alike.

    In a slab it fills the middle half of the partitions. References are the noise-free image of each echo, and the true
    PDFF, R2* and B0. Raises `ValueError` for what is not simulated.
    """
    if protocol.held_out_lines or protocol.local_phase:
        raise ValueError("echoes: held-out lines and local phases are simulated of the head only")
    rng = torch.Generator().manual_seed(protocol.seed)
    covariance = coil_covariance(protocol.n_coils, rng) * (WHITE_MATTER / protocol.snr) ** 2
    if protocol.is_along_shots:
        covariance = covariance * protocol.oversampling
    kspace = [_kspace(protocol, echoes, time) for time in echoes.times_ms]
    measured = [_along_shots(protocol, echoes, time) for time in echoes.times_ms] if protocol.is_along_shots else kspace
    acquisitions = noise_lines(protocol, covariance, rng) if protocol.noise_scan else []
    lines = plan_lines(protocol)
    for line in tqdm(lines, desc="lines", **({} if progress else HIDDEN), delay=1):
        is_last, line.flags = bool(line.flags & LAST), line.flags & ~LAST
        for contrast, of_echo in enumerate(measured):
            data = of_echo[:, line.partition, line.row] + complex_noise(covariance, (protocol.n_samples,), rng)
            made = acquisition_of(protocol, line, data[:, protocol.first_sample :], len(acquisitions) + 1)
            made.idx.contrast = contrast
            acquisitions.append(made)
        if is_last:
            acquisitions[-1].set_flag(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    if protocol.noise_scan:
        whitening = whitening_matrix(covariance, 1.0)
        kspace = [whiten(of_echo.transpose(0, 1), whitening).transpose(0, 1) for of_echo in kspace]
    return _header(protocol, echoes), acquisitions, _references(protocol, echoes, kspace, acquisitions)


def _kspace(protocol: Protocol, echoes: Echoes, time_ms: float) -> Tensor:
    """K-space `(coil, kz, ky, kx)` of an echo, the same in each slice."""
    coils, shape = loop_coils(protocol.n_coils, object_phase=OBJECT_PHASE), (protocol.matrix, protocol.matrix)
    belly = belly_echo(time_ms, echoes.field_t, echoes.field)
    plane = coil_kspace(belly, coils, shape, oversampling=protocol.oversampling)
    return _in_partitions(protocol, plane)


def _in_partitions(protocol: Protocol, plane: Tensor) -> Tensor:
    """K-space `(coil, kz, ...)` of a belly whose partitions are all like a `plane` `(coil, ...)`."""
    along_z = to_kspace(_holds(protocol).to(plane.dtype), dims=(-1,))
    return plane[:, None] * along_z.view(-1, *[1] * (plane.ndim - 1))


def _holds(protocol: Protocol) -> Tensor:
    """Which partitions hold the belly, bool `(z,)`."""
    n_z = protocol.n_partitions
    partition = torch.arange(n_z)
    return (partition >= n_z // 4) & (partition < n_z - n_z // 4)


def _along_shots(protocol: Protocol, echoes: Echoes, time_ms: float) -> Tensor:
    """Samples `(coil, kz, shot, sample)` of an echo, which is read along the same shots as the others."""
    coils, places = loop_coils(protocol.n_coils, object_phase=OBJECT_PHASE), protocol.shots
    places = sampled_places(places, protocol.delay) * protocol.matrix
    seen = coil_samples_at(belly_echo(time_ms, echoes.field_t, echoes.field), coils, places)
    return _in_partitions(protocol, seen * protocol.matrix)


def _references(
    protocol: Protocol, echoes: Echoes, kspace: list[Tensor], acquisitions: list[ismrmrd.Acquisition]
) -> list[ismrmrd.Image]:
    images = []
    for contrast, of_echo in enumerate(kspace):
        lines = [line for line in acquisitions if line.idx.contrast == contrast]
        images += reference_images(protocol, [of_echo] * protocol.n_slices, lines)
    plane = belly_maps((protocol.matrix, protocol.matrix), echoes.field)
    truth = {name: values * _holds(protocol)[:, None, None] for name, values in plane.items()}
    first = images[: protocol.n_slices]
    return images + [_map(image, name, values) for image in first for name, values in truth.items()]


def _map(beside: ismrmrd.Image, name: str, values: Tensor) -> ismrmrd.Image:
    header = beside.getHead()
    header.image_type, header.data_type = ismrmrd.IMTYPE_REAL, ismrmrd.DATATYPE_FLOAT
    header.image_series_index = image_series(0, is_fallback=False) + QUANTITIES[name]
    meta = {"DataRole": "Quantitative", "ImageComments": "reference", "kband_method": "what was simulated",
            "kband_quantity": name, "RescaleType": UNITS[name]}  # fmt: skip
    return ismrmrd.Image(header, data=values.numpy()[None], meta=ismrmrd.Meta(meta))


def _header(protocol: Protocol, echoes: Echoes) -> str:
    header = xsd.CreateFromDocument(header_xml(protocol))
    header.acquisitionSystemInformation.systemFieldStrength_T = echoes.field_t
    header.experimentalConditions.H1resonanceFrequency_Hz = round(echoes.field_t * MHZ_PER_TESLA * 1e6)
    header.sequenceParameters.TE = list(echoes.times_ms)
    header.measurementInformation.protocolName = "simulated_belly"
    limits = header.encoding[0].encodingLimits
    limits.contrast = xsd.limitType(minimum=0, maximum=len(echoes.times_ms) - 1, center=0)
    return header_document(header)
