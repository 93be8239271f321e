"""Other people's reconstructions on our arrays: BART's commands and pygrappa."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

BART_AXES = 16


def require_bart() -> None:
    """Stop with one sentence where BART is missing."""
    if shutil.which("bart") is None:
        raise click.ClickException("the command bart is not found; install BART, as Debian's package bart")


def require_peers() -> None:
    """Stop with one sentence where BART or pygrappa is missing."""
    require_bart()
    if find_spec("pygrappa") is None:
        raise click.ClickException("pygrappa is not installed; pip install kband[bench]")


def write_cfl(path: Path, array: Tensor, n_axes: int = 2) -> None:
    """Write `(coil, y, x)` or `(set, coil, y, x)` in BART's order, column-major (x, y, z, coil, set).

    With `n_axes` 3 they have an axis z before y.
    """
    axes, others = array.shape[-n_axes:], array.shape[:-n_axes]
    write_array(path, array, [*axes[::-1], *[1] * (3 - n_axes), *others[::-1]])


def write_array(path: Path, array: Tensor, lengths: Sequence[int]) -> None:
    """Write an array, last axis first, as BART's first axes of these lengths."""
    lengths = [*lengths, *[1] * (BART_AXES - len(lengths))]
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{' '.join(map(str, lengths))}\n")
    array.contiguous().numpy().astype(np.complex64).tofile(path.with_suffix(".cfl"))


def read_cfl(path: Path) -> Tensor:
    """Read BART's (x, y, 1, coil, set) as `(set, coil, y, x)`; with an axis z before y if it is longer."""
    lengths = [int(word) for word in path.with_suffix(".hdr").read_text().split("\n")[1].split()]
    values = np.fromfile(path.with_suffix(".cfl"), dtype=np.complex64)
    return torch.from_numpy(values.reshape(lengths[:5][::-1])).squeeze(2)


def bart(command: Sequence[str], *inputs: Tensor, n_axes: int = 2) -> Tensor:
    """Run one BART command on files of `inputs` and return its output `(set, coil, y, x)`, or of volumes `n_axes` 3."""
    with tempfile.TemporaryDirectory() as folder:
        for number, array in enumerate(inputs):
            write_cfl(Path(folder) / f"in{number}", array, n_axes)
        names = [f"in{number}" for number in range(len(inputs))]
        subprocess.run(["bart", *command, *names, "out"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return read_cfl(Path(folder) / "out")


def bart_along(command: Sequence[str], coords: Tensor, kspace: Tensor, *inputs: Tensor) -> Tensor:
    """Run a BART command with a trajectory: `coords` `(shot, sample, 2)` in cycles per image, x first, and `kspace`
    `(coil, shot, sample)` before its other inputs; return its output `(set, coil, y, x)`.
    """
    shots, samples = coords.shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        write_array(Path(folder) / "traj", torch.nn.functional.pad(coords, (0, 1)), [3, samples, shots])
        write_array(Path(folder) / "kspace", kspace, [1, samples, shots, len(kspace)])
        for number, array in enumerate(inputs):
            write_cfl(Path(folder) / f"in{number}", array)
        names = ["traj", "kspace", *(f"in{number}" for number in range(len(inputs))), "out"]
        subprocess.run(["bart", *command, *names], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return read_cfl(Path(folder) / "out")


def sigpy_sense(
    coords: Tensor, kspace: Tensor, csm: Tensor, regularisation: float, n_iterations: int
) -> Tensor:
    """SigPy's CG-SENSE along a trajectory, as `bart_along` takes it; `csm` `(coil, y, x)`; returns `(y, x)`."""
    from sigpy.mri.app import SenseRecon

    recon = SenseRecon(
        kspace.numpy(), csm.numpy(), lamda=regularisation, coord=coords.flip(-1).numpy(), max_iter=n_iterations,
        show_pbar=False,
    )  # fmt: skip
    return torch.from_numpy(recon.run())


def bart_maps(kspace: Tensor, acs_lines: int, n_sets: int, *, n_axes: int = 2) -> Tensor:
    """BART's ESPIRiT maps `(set, coil, y, x)` by the centre of `kspace` `(coil, ky, kx)`, at ecalib's own settings."""
    return bart(["ecalib", "-r", str(acs_lines), "-m", str(n_sets)], kspace, n_axes=n_axes)


def bart_sense(
    kspace: Tensor, csm: Tensor, regularisation: float, n_iterations: int, *, n_axes: int = 2
) -> Tensor:
    """BART's CG-SENSE, min ‖A x − y‖² + λ‖x‖²: image sets `(set, y, x)`. Unsampled k-space is zero."""
    command = ["pics", "-w", "1", "-l2", "-r", str(regularisation), "-i", str(n_iterations)]
    return bart(command, kspace, csm, n_axes=n_axes)[:, 0]


def pygrappa(kspace: Tensor, acs: Tensor, kernel: tuple[int, ...], regularisation: float) -> Tensor:
    """Fill k-space `(coil, ky, kx)`, or of three axes, by mdgrappa; its `kernel` counts all lines, acquired or not."""
    from pygrappa import mdgrappa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 0/0 where a window is empty
        filled = mdgrappa(kspace.numpy(), acs.numpy(), kernel_size=kernel, coil_axis=0, lamda=regularisation)
    return torch.from_numpy(filled)
