"""Coil maps along trajectories: by the part of the centre that shots cover, or by 24 gridded lines of it.

Real spiral and radial phantoms of which shots are left out, CG-SENSE of both; the reference has all shots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import torch
from measure import data_option, print_conditions, print_table, scores
from radial_scans import MANY
from torch import Tensor

from gadgets.coils.coil_compression import CoilCompression
from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.items import ReconBuffer
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from gadgets.recon.nufft_sense import NufftSense
from gadgets.scan import Scan
from kband_core.fourier import resize, to_kspace
from kband_core.nufft import adjoint_nufft
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.evaluation.undersampled_shots import leave_out_shots
from pipelines.files.mrd_file import RawFile

SCANS = {"spiral": ("phantom_spiral_8ch", (1.5, 2, 3, 4)), "69 spokes": (MANY, (1.5, 69 / 29, 3, 69 / 15))}
GRIDDED = 24  # lines


@click.command()
@data_option
def main(data: Path) -> None:
    """Print the NRMSE of magnitudes to the image of all shots, mean of slices, by both calibrations."""
    print_conditions(
        "shots left out evenly by angle; maps as in spiral.xml and radial.xml, 15 iterations. NRMSE of magnitudes\n"
        "after one factor to the image of all shots by the same calibration."
    )
    rows = []
    for name, (stem, accelerations) in SCANS.items():
        references = _images(data / f"{stem}.h5", 1.0)
        for acceleration in accelerations:
            found = _images(data / f"{stem}.h5", acceleration)
            errors = [_error(image, reference) for image, reference in zip(found[:2], references[:2], strict=True)]
            rows.append((f"{name}, R={acceleration:.1f}", *(f"{e:.3f}" for e in errors), f"{errors[1] / errors[0]:.2f}",
                         str(found[2])))  # fmt: skip
    print_table(("", f"{GRIDDED} gridded lines", "what is covered", "ratio", "samples across"), rows)


def _images(path: Path, acceleration: float) -> tuple[list[Tensor], list[Tensor], int]:
    """Images of all slices by either calibration, and how many samples across are covered."""
    gridded, covered, across = [], [], 0
    with RawFile(path) as raw:
        lines, scan = list(raw), Scan.from_xml(raw.header_xml)
        if acceleration > 1:
            fewer = leave_out_shots(raw.header_xml, lines, acceleration, rng=torch.Generator().manual_seed(0))
            lines, scan = list(fewer.lines(lines)), fewer.scan
    for buffer in _through([TrajectoryBuffer(device="cpu")], scan, lines):
        across = buffer.acs.shape[-1]
        for acs, images in ((_by_gridding(buffer), gridded), (buffer.acs, covered)):
            (with_maps,) = _through([CoilCompression(), CoilSensitivities()], scan, [replace(buffer, acs=acs)])
            images.append(NufftSense().reconstruct(with_maps).image[0].abs())
    return gridded, covered, across


def _through(gadgets: Sequence, scan: Scan, items: Sequence) -> list[ReconBuffer]:
    passed = run(Pipeline(gadgets), scan, iter(items), Verdict())
    return [item for item in passed if isinstance(item, ReconBuffer)]


def _by_gridding(buffer: ReconBuffer) -> Tensor:
    kspace, sampling = buffer.kspace[0, 0, 0], buffer.sampling[0, 0, 0]
    image = adjoint_nufft(kspace * sampling.density, sampling.coords, buffer.encoding.image_grid)
    return resize(to_kspace(image), (GRIDDED, GRIDDED))[None, None]


def _error(images: Sequence[Tensor], references: Sequence[Tensor]) -> float:
    return sum(scores(a, b)[0] for a, b in zip(images, references, strict=True)) / len(images)


if __name__ == "__main__":
    main()
