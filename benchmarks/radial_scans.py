"""Radial scans to compare reconstructions on: what was measured, maps, and a reference from more spokes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gadgets.coils.coil_compression import CoilCompression
from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.items import ReconBuffer
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from gadgets.recon.nufft_sense import NufftSense
from gadgets.scan import Scan
from kband_core.density import radial_density
from kband_core.sampling import Trajectory
from kband_core.shot_angles import spoke_angles
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.files.mrd_file import RawFile

FEW, MANY = "phantom_radial_29spokes_16ch_2slices", "phantom_radial_69spokes_16ch_2slices"
MATRIX = 192
CUT = 29  # spokes


@dataclass(frozen=True)
class Scanned:
    """`kspace (coil, shot, sample)` along a trajectory, `csm (set, coil, y, x)`, `reference (y, x)`."""

    kspace: Tensor
    trajectory: Trajectory
    csm: Tensor
    reference: Tensor


def phantoms(data: Path) -> list[Scanned]:
    """Both slices at 29 spokes, coils and maps as in radial.xml; reference: what radial.xml makes of 69 spokes."""
    found = []
    for few, many in zip(*(_buffers(data / f"{stem}.h5") for stem in (FEW, MANY)), strict=True):
        reference = NufftSense().reconstruct(many).image[0]
        found.append(Scanned(few.kspace[0, 0, 0], few.sampling[0, 0, 0], few.csm[0, 0], reference))
    return found


def cut_phantoms(data: Path) -> list[Scanned]:
    """Both slices with 29 of the 69 spokes, evenly spaced; maps and reference are those of all 69."""
    found = []
    for many in _buffers(data / f"{MANY}.h5"):
        kspace, sampling = many.kspace[0, 0, 0], many.sampling[0, 0, 0]
        in_order = spoke_angles(sampling.coords).argsort()
        chosen = in_order[torch.arange(CUT) * len(in_order) // CUT]
        coords = sampling.coords[chosen]
        cut = Trajectory(coords, radial_density(coords))
        found.append(Scanned(kspace[:, chosen], cut, many.csm[0, 0], NufftSense().reconstruct(many).image[0]))
    return found


def _buffers(path: Path) -> Iterator[ReconBuffer]:
    with RawFile(path) as raw:
        chain = Pipeline([TrajectoryBuffer(device="cpu"), CoilCompression(), CoilSensitivities()])
        for item in run(chain, Scan.from_xml(raw.header_xml), raw, Verdict()):
            if isinstance(item, ReconBuffer):
                yield item
