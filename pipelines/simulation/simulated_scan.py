"""Scan the head phantom: an MRD raw data set as a scanner sends it, and the image it was made from.

The k-space is the phantom's own, from formulas, with noise that is correlated between coils. Lengths of the phantom
are in fields of view; one slice lies 5 mm from the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from gadgets.mrd import ismrmrd
from kband_core.fourier import partitions_to_image, resize, to_image
from kband_core.phantom import (
    Phantom,
    coil_covariance,
    coil_kspace,
    complex_noise,
    head_phantom,
    loop_coils,
)
from kband_core.phantom_samples import coil_samples_at, stack_samples_at
from kband_core.phantom_volume import RingCoils, ring_coils, volume_kspace
from kband_core.whitening import whiten, whitening_matrix
from pipelines.simulation.simulated_header import NOISE_BANDWIDTH, TR_MS, header_xml
from pipelines.simulation.simulated_protocol import (
    FOV_MM,
    SLICE_SPACING_MM,
    PlannedLine,
    Protocol,
    bit,
    plan_lines,
)
from pipelines.simulation.simulated_shots import BENT, sampled_places
from pipelines.simulation.slab import SLAB_MM

WHITE_MATTER = 0.8  # as the phantom's coils see it in the centre of the head
OBJECT_PHASE = 1.0  # radians: B0 and eddy currents make real images complex
READOUT_US = 2560.0
NOISE_DWELL_US = 10.0
NOISE_LINES = 16
TICK_MS = 2.5
HIDDEN = {"disable": True}  # no bar; where one may be shown, nothing is said, for --quiet is told by the environment
START_TICKS = int(10 * 3600e3 / TICK_MS)  # ten o'clock

# Axial, tilted by 8 degrees towards the line through the commissures; LPS.
_TILT = math.radians(8.0)
READ_DIR = (1.0, 0.0, 0.0)
PHASE_DIR = (0.0, math.cos(_TILT), math.sin(_TILT))
SLICE_DIR = (0.0, -math.sin(_TILT), math.cos(_TILT))


def simulate_scan(
    protocol: Protocol, *, progress: bool = False
) -> tuple[str, list[ismrmrd.Acquisition], list[ismrmrd.Image]]:
    """Return MRD header, acquisitions and reference images of a scan of the head phantom.

    The reference, one image per slice, is what a perfect scan would show: the root of the sum of squares over coils
    of the noise-free, fully sampled image on the recon matrix, whitened if there is a noise scan. It does not depend on
    acceleration, averages, partial Fourier or echoes. The same protocol, seed included, gives the same scan.
    """
    rng = torch.Generator().manual_seed(protocol.seed)
    covariance = coil_covariance(protocol.n_coils, rng) * (WHITE_MATTER / protocol.snr) ** 2
    if protocol.is_along_shots:
        covariance = covariance * protocol.oversampling  # the band is as much wider, and no half of it is cut away
    kspace = kspace_of_slices(protocol, progress)
    measured = _along_shots(protocol) if protocol.is_along_shots else kspace
    lines = plan_lines(protocol)
    acquisitions = noise_lines(protocol, covariance, rng) if protocol.noise_scan else []
    for line in tqdm(lines, desc="lines", **({} if progress else HIDDEN), delay=1):
        noise = complex_noise(covariance, (protocol.n_samples,), rng)
        data = (measured[line.slice][:, line.partition, line.row] + noise)[:, protocol.first_sample :]
        acquisitions.append(acquisition_of(protocol, line, data, len(acquisitions) + 1))
    if protocol.noise_scan:
        whitening = whitening_matrix(covariance, 1.0)
        kspace = [whiten(slice_kspace.transpose(0, 1), whitening).transpose(0, 1) for slice_kspace in kspace]
    return header_xml(protocol), acquisitions, reference_images(protocol, kspace, acquisitions)


def kspace_of_slices(protocol: Protocol, progress: bool) -> list[Tensor]:
    """K-space `(coil, kz, ky, kx)` of each slice, or of the slab."""
    shown = {} if progress else HIDDEN
    if protocol.slab:
        coils = _slab_coils(protocol)
        shape, fov = (protocol.slab.n_partitions, protocol.matrix, protocol.matrix), (SLAB_MM / FOV_MM, 1.0, 1.0)
        partitions = volume_kspace(coils, shape, fov=fov, oversampling=protocol.oversampling)
        return [torch.stack(list(tqdm(partitions, desc="partitions", total=shape[0], **shown, delay=1)), 1)]
    coils, shape = loop_coils(protocol.n_coils, object_phase=OBJECT_PHASE), (protocol.matrix, protocol.matrix)
    slices = tqdm(range(protocol.n_slices), desc="slices", **shown, delay=1)
    heads = (_head(protocol, number) for number in slices)
    return [coil_kspace(head, coils, shape, oversampling=protocol.oversampling).unsqueeze(1) for head in heads]


def _along_shots(protocol: Protocol) -> list[Tensor]:
    """Samples `(coil, kz, shot, sample)` of each slice, on the scale of an orthonormal transform of its matrix."""
    n, places = protocol.matrix, sampled_places(protocol.shots, protocol.delay)
    if protocol.slab:
        n_z, fov_z = protocol.slab.n_partitions, SLAB_MM / FOV_MM
        partitions = stack_samples_at(_slab_coils(protocol), places * n, n_z, fov_z)
        return [torch.stack(list(partitions), 1) * (n * math.sqrt(n_z) / fov_z)]
    coils = loop_coils(protocol.n_coils, object_phase=OBJECT_PHASE)
    heads = (_head(protocol, number) for number in range(protocol.n_slices))
    return [coil_samples_at(head, coils, places * n).unsqueeze(1) * n for head in heads]


def _slab_coils(protocol: Protocol) -> RingCoils:
    return ring_coils(protocol.n_coils, n_rings=min(2, protocol.n_coils), object_phase=OBJECT_PHASE)


def _head(protocol: Protocol, slice_number: int) -> Phantom:
    return head_phantom(offset_mm(protocol, slice_number) / (FOV_MM / 2), local_phase=protocol.local_phase)


def offset_mm(protocol: Protocol, slice_number: int) -> float:
    """Distance of a slice from the isocentre, towards the head."""
    return (slice_number - (protocol.n_slices - 1) / 2) * SLICE_SPACING_MM


def dwell_us(protocol: Protocol) -> float:
    return READOUT_US / protocol.n_samples


def noise_lines(protocol: Protocol, covariance: Tensor, rng: torch.Generator) -> list[ismrmrd.Acquisition]:
    """Noise variance grows with the bandwidth 1/dwell; the filter's share is what whitening multiplies back in."""
    variance_ratio = dwell_us(protocol) / NOISE_DWELL_US * NOISE_BANDWIDTH
    noise = complex_noise(covariance * variance_ratio, (NOISE_LINES, protocol.n_samples), rng)
    return [
        ismrmrd.Acquisition.from_array(
            noise[:, n].numpy(),
            flags=bit(ismrmrd.ACQ_IS_NOISE_MEASUREMENT),
            sample_time_us=NOISE_DWELL_US,
            **bookkeeping(protocol, n + 1),
        )
        for n in range(NOISE_LINES)
    ]


def acquisition_of(
    protocol: Protocol, line: PlannedLine, data: Tensor, scan_counter: int, *, encoding: int = 0
) -> ismrmrd.Acquisition:
    """Return a planned line with its samples `(coil, sample)`, of an `encoding` of the header."""
    offset = offset_mm(protocol, line.slice)
    counters = ismrmrd.EncodingCounters(
        kspace_encode_step_1=line.row - protocol.first_row,
        kspace_encode_step_2=line.partition,
        average=line.average,
        slice=line.slice,
        repetition=line.repetition,
    )
    trajectory = protocol.shots[line.row].flip(-1).numpy() if protocol.is_along_shots else None  # kx first
    return ismrmrd.Acquisition.from_array(
        data.numpy(),
        trajectory,
        flags=line.flags,
        idx=counters,
        center_sample=0 if protocol.trajectory in BENT else protocol.n_samples // 2 - protocol.first_sample,
        sample_time_us=dwell_us(protocol),
        encoding_space_ref=encoding,
        position=tuple(offset * component for component in SLICE_DIR),
        read_dir=READ_DIR,
        phase_dir=PHASE_DIR,
        slice_dir=SLICE_DIR,
        user_float=(line.probability, *[0.0] * 7),
        **bookkeeping(protocol, scan_counter),
    )


def bookkeeping(protocol: Protocol, scan_counter: int) -> dict[str, int]:
    ticks = START_TICKS + round(scan_counter * TR_MS / TICK_MS)
    return {"measurement_uid": protocol.uid, "scan_counter": scan_counter, "acquisition_time_stamp": ticks}


def reference_images(
    protocol: Protocol, kspace: Sequence[Tensor], acquisitions: Sequence[ismrmrd.Acquisition]
) -> list[ismrmrd.Image]:
    centre = protocol.centre_step
    through_centre = {
        line.idx.slice: line
        for line in reversed(acquisitions)
        if line.idx.kspace_encode_step_1 == centre and not line.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    }
    images = []
    for number, slice_kspace in enumerate(kspace):
        coil_images = resize(to_image(partitions_to_image(slice_kspace)), (protocol.matrix,), dims=(-1,))
        image = ismrmrd.Image.from_array(
            coil_images.abs().square().sum(-3).sqrt().numpy(),
            through_centre[number],
            transpose=False,
            field_of_view=(FOV_MM, FOV_MM, SLAB_MM if protocol.slab else SLICE_SPACING_MM),
            image_type=ismrmrd.IMTYPE_MAGNITUDE,
            image_index=number + 1,
            image_series_index=1,
        )
        image.meta = {"DataRole": "Image", "ImageComments": "reference", "kband_method": "noise-free, fully sampled"}
        images.append(image)
    return images
