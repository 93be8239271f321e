"""Scans to train on and to judge by, of one seed: simulated by kind, and first slices of real ones, lines left out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch

from gadgets.items import ReconBuffer
from gadgets.recon.reconstruction import maps_of
from gadgets.scan import Scan
from kband_core.calibration import coil_maps
from kband_core.fourier import resize, to_kspace
from kband_core.training.batches import stack
from kband_core.training.dataset import Plane
from kband_core.training.example import Example, make_example
from kband_core.training.scans import generator
from kband_core.training.simulation.procedural import (
    procedural_coil_image,
    procedural_plane,
    ring_of_loops,
    with_noise,
)
from kband_core.training.simulation.random_fields import between
from kband_core.training.simulation.random_objects import FINER, random_object
from kband_core.training.undersampling import Undersampling
from pipelines.evaluation.evaluation import before_network
from pipelines.evaluation.undersampled_scan import undersample
from pipelines.files.mrd_stream import open_raw

MATRIX, BATCH, COILS = (64, 64), 2, (4, 6, 8, 10)
NOISE, LOUD = (0.002, 0.08), (0.08, 0.15)
DRAWN = {"line_acceleration": (2, 5), "acs_lines": (12, 24)}
FAULTY_LINES = (8, 14)  # that calibrate where coil models err, before the field of view wraps half of the objects
OVERHANG = (1.05, 1.4)  # of an object that wraps, over the field of view
PATTERNS = ("lines", "equispaced", "poisson")
REAL = ("brain_t1_8ch", "brain_flash_16ch", "head_gre_32ch_4slices")
PROTOCOLS = (("lines", 3), ("lines", 4), ("equispaced", 3), ("equispaced", 4))


@dataclass(frozen=True)
class Kind:
    """Simulated scans that are judged together."""

    name: str
    sampling: str
    acceleration: float
    noise: tuple[float, float] = NOISE
    wrapped: bool = False


KINDS = (
    Kind("lines R=3", "lines", 3), Kind("lines R=4", "lines", 4),
    Kind("equispaced R=3", "equispaced", 3), Kind("equispaced R=4", "equispaced", 4),
    Kind("Poisson R=4", "poisson", 4), Kind("low SNR, lines R=3", "lines", 3, LOUD),
    Kind("wrapped, equispaced R=3", "equispaced", 3, wrapped=True),
)  # fmt: skip
KIND_MATRIX, KIND_COILS, KIND_ACS = (80, 80), 8, 14


def training_batches(n: int) -> dict[str, list[Example]]:
    """Make batches of `any` pattern in turn; of them those of `lines`; and all, every third `faulty`: maps that err."""
    whole = [_batch(number, faulty=False) for number in range(n)]
    faulty = [_batch(number, faulty=True) if number // len(PATTERNS) % 3 == 0 else whole[number] for number in range(n)]
    lines = [one for number, one in enumerate(whole) if PATTERNS[number % len(PATTERNS)] != "poisson"]
    return {"any": whole, "lines": lines, "faulty": faulty}


def _batch(number: int, *, faulty: bool) -> Example:
    draw = Undersampling(sampling=PATTERNS[number % len(PATTERNS)], **DRAWN)
    examples = []
    for place in range(BATCH):
        rng = generator("lines", number, place)
        plane = _faulty(number, place) if faulty else _plane(number, place)
        seen = draw.draw(MATRIX, rng)
        examples.append(make_example(plane, seen, plane.mask, seen))
    n_sets = max(len(one.csm) for one in examples)
    return stack([replace(one, csm=torch.cat([one.csm, torch.zeros_like(one.csm)])[:n_sets]) for one in examples])


@cache
def _plane(number: int, place: int) -> Plane:
    return procedural_plane(MATRIX, n_coils=_n_coils(number), rng=generator("scan", number, place), noise=NOISE)


def _faulty(number: int, place: int) -> Plane:
    """The scan of the same place with maps of few lines, as the chain makes them; every second one wraps."""
    rng = generator("faulty", number, place)
    plane = wrapped(MATRIX, _n_coils(number), NOISE, rng) if (number + place) % 2 else _plane(number, place)
    n_lines = int(torch.randint(FAULTY_LINES[0], FAULTY_LINES[1] + 1, (), generator=rng))
    return replace(plane, csm=coil_maps(resize(plane.kspace, [n_lines], dims=[-2]), MATRIX).certain())


def _n_coils(number: int) -> int:
    return COILS[number // len(PATTERNS) % len(COILS)]


def wrapped(shape: tuple[int, int], n_coils: int, noise: tuple[float, float], rng: torch.Generator) -> Plane:
    """Simulate a scan of an object larger than the field of view along ky, which folds; its maps are still to make."""
    tall = 2 * round(between(*OVERHANG, rng) * shape[0] / 2), shape[1]
    draw_coils = partial(ring_of_loops, n_coils=n_coils)
    image = procedural_coil_image(random_object(tall, rng), draw_coils, rng)
    image = resize(image, [3 * FINER * shape[0]], dims=[-2]).unflatten(-2, (3, FINER * shape[0])).sum(-3)
    kspace = with_noise(resize(to_kspace(image), shape) / FINER, noise, rng)
    return Plane(
        kspace, torch.ones(shape[0], 1, dtype=torch.bool), torch.zeros(1, n_coils, *shape, dtype=kspace.dtype),
        subject="procedural", protocol="procedural", source="", slice=0, angle=None,
    )  # fmt: skip


def judged_scans(kind: Kind, n: int) -> Iterator[Example]:
    """Make scans of a kind, none of them trained on, each with the maps that the chain makes of its calibration."""
    draw = Undersampling(sampling=kind.sampling, line_acceleration=kind.acceleration, acs_lines=KIND_ACS)
    for number in range(n):
        rng = generator("judged", kind.name, number)
        if kind.wrapped:
            plane = wrapped(KIND_MATRIX, KIND_COILS, kind.noise, rng)
        else:
            plane = procedural_plane(KIND_MATRIX, n_coils=KIND_COILS, rng=rng, noise=kind.noise)
        seen = draw.draw(KIND_MATRIX, rng)
        central = [KIND_ACS, KIND_ACS] if kind.sampling == "poisson" else [KIND_ACS, KIND_MATRIX[1]]
        plane = replace(plane, csm=coil_maps(resize(plane.kspace, central), KIND_MATRIX).certain())
        yield stack([make_example(plane, seen, plane.mask, seen)])


def real_scans(data: Path) -> Iterator[tuple[str, Example]]:
    """Give first slices of real scans as they come to the network, seed 0, 24 calibration lines."""
    logging.basicConfig(level=logging.ERROR)
    for stem in REAL:
        with open_raw(data / f"{stem}.h5") as raw:
            whole = _first(before_network(Scan.from_xml(raw.header_xml), raw, 24)).planes()[0]
            for sampling, acceleration in PROTOCOLS:
                draw = Undersampling(sampling=sampling, line_acceleration=acceleration, acs_lines=24)
                thinned = undersample(raw.header_xml, draw, rng=torch.Generator().manual_seed(0))
                buffer = _first(before_network(thinned.scan, thinned.lines(raw), 24))
                seen = buffer.planes()[1]
                plane = Plane(
                    whole[0], torch.ones(whole.shape[-2], 1, dtype=torch.bool), maps_of(buffer)[0],
                    subject=stem, protocol="", source="", slice=0, angle=None,
                )  # fmt: skip
                grid = seen[0] if seen.mask.ndim > 2 else seen
                one = make_example(plane, grid, plane.mask, grid)
                yield f"{stem.split('_')[1]}, {sampling} R={acceleration}", stack([one])


def _first(items: list) -> ReconBuffer:
    buffers = [item.single((0, 0, 0)) for item in items if isinstance(item, ReconBuffer)]
    return min(buffers, key=ReconBuffer.slice_counters)
