"""Raw lines sorted into arrays of k-space, for NumPy and BART."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gadgets.gadget import Gadget
from gadgets.items import Calibration, ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.mrd_header import COUNTERS
from gadgets.receiving.acquired_kspace import acquired_kspace
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from gadgets.receiving.turned import join_x
from gadgets.recon.nufft_sense import shot_planes
from gadgets.scan import ALONG_TRAJECTORIES, Scan
from gadgets.stock.asymmetric_echo import AsymmetricEchoAdjustRO
from gadgets.stock.remove_oversampling import RemoveROOversampling
from kband_core.fourier import to_kspace
from kband_core.sampling import Trajectory
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.export.cfl import COIL, SLICE, write_cfl
from pipelines.export.finished_folder import finished_folder
from pipelines.files.finished_file import writing

ENDINGS = {"npy": (".npy",), "cfl": (".cfl", ".hdr")}
GRID = (COIL, 2, 1, 0)  # BART's axes of (coil, kz, ky, kx)


def write_kspace(
    path: Path, header_xml: str, lines: Iterable[ismrmrd.Acquisition], form: str, *, overwrite: bool = False
) -> int:
    """Write k-space as lines came: neither whitened nor compressed, on a grid without the readout's oversampling.

    `kspace_…` of each image is (coil, kz, ky, kx), zero where nothing was acquired, or (z, coil, shot, sample), of
    stacks in image space along z, with the trajectory in cycles per field of view, (shot, sample, 3) for x, y, z;
    `calibration_…` are lines that are not the image's own. Axes are NumPy's; a cfl has them in BART's order. Returns
    how many lines there were. Raises `FileProblem`, and `PipelineError` or `ScanError` as the gadgets do; then no
    folder is left.
    """
    scan, verdict, n_written = Scan.from_xml(header_xml), Verdict(), 0
    pipeline = Pipeline(_gadgets(scan))
    with finished_folder(path, ENDINGS[form], overwrite, is_wanted=lambda: n_written > 0) as folder:
        for item in run(pipeline, scan, lines, verdict):
            with writing(path):
                if isinstance(item, ReconBuffer):
                    n_written += _write_images(folder, item, form)
                elif item.encoding.calibrates_apart:
                    _write_calibration(folder, item, form)
    return verdict.n_lines


def _gadgets(scan: Scan) -> list[Gadget]:
    if scan.encodings[0].trajectory in ALONG_TRAJECTORIES:
        return [TrajectoryBuffer(device="cpu")]
    return [AsymmetricEchoAdjustRO(), RemoveROOversampling(), AcquisitionBuffer(device="cpu")]


def _write_images(folder: Path, buffer: ReconBuffer, form: str) -> int:
    for index in np.ndindex(buffer.headers.shape):
        one = buffer.single(index)
        path = folder / f"kspace{_counters(one.headers[0, 0, 0])}"
        if isinstance(one.sampling, Trajectory):
            _write(path, shot_planes(one), form, (SLICE, COIL, 2, 1))
            x, y, _ = one.encoding.recon_matrix
            coords = one.sampling.coords[0, 0, 0] * torch.tensor([y, x])
            coords = torch.nn.functional.pad(coords.flip(-1), (0, 1))
            _write(folder / f"trajectory{_counters(one.headers[0, 0, 0])}", coords, form, (2, 1, 0))
        else:
            _write(path, acquired_kspace(one), form, GRID)
    return buffer.headers.size


def _write_calibration(folder: Path, item: Calibration, form: str) -> None:
    acs = item.acs[0].movedim(0, 1)
    acs = join_x(acs) if item.turned else to_kspace(acs, dims=(-3,))
    _write(folder / f"calibration_slice{item.slice}", acs, form, GRID)


def _counters(line: ismrmrd.AcquisitionHeader) -> str:
    """The slice, and whatever else is not the first of its kind."""
    values = {name: getattr(line.idx, name) for name in COUNTERS}
    others = "".join(f"_{name}{value}" for name, value in values.items() if value and name not in ("slice", "average"))
    return f"_slice{line.idx.slice}{others}"


def _write(path: Path, array: Tensor, form: str, axes: tuple[int, ...]) -> None:
    if form == "npy":
        np.save(path.with_name(path.name + ".npy"), array.numpy())
    else:
        write_cfl(path, array.numpy(), axes)
