"""What computes sums over samples along a trajectory: finufft on the CPU; where data lie on a GPU, cufinufft if it is
installed, else finufft with a copy there and back.

Points `(2, sample)` are phases per pixel along y and x, in radians, in the precision of the data.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from kband_core.device import send


def require_finufft() -> ModuleType:
    """Return finufft. Raises `ValueError`, saying what to install, if it is missing."""
    try:
        import finufft
    except ImportError as error:
        raise ValueError("finufft is missing, and trajectories need it: pip install kband[noncart]") from error
    return finufft


def to_samples(planes: Tensor, points: Tensor, eps: float) -> Tensor:
    """Σ_r plane(r) e^{−i(p·r)} at every sample: `(plane, y, x)` → `(plane, sample)`, r from the pixel N//2 on."""
    if engine := _of_gpu(planes):
        return engine.nufft2d2(*points, planes, isign=-1, eps=eps, gpu_device_id=planes.device.index)
    arrays = *_array(points), _array(planes)
    samples = require_finufft().nufft2d2(*arrays, isign=-1, eps=eps, nthreads=torch.get_num_threads())
    return send(torch.from_numpy(samples), planes.device)


def to_planes(samples: Tensor, points: Tensor, shape: tuple[int, int], eps: float) -> Tensor:
    """Σ_k sample(k) e^{+i(p·r)} at every pixel: `(plane, sample)` → `(plane, y, x)`."""
    if engine := _of_gpu(samples):
        return engine.nufft2d1(*points, samples, shape, isign=1, eps=eps, gpu_device_id=samples.device.index)
    arrays = *_array(points), _array(samples)
    planes = require_finufft().nufft2d1(*arrays, shape, isign=1, eps=eps, nthreads=torch.get_num_threads())
    return send(torch.from_numpy(planes), samples.device)


def _of_gpu(data: Tensor) -> ModuleType | None:
    """Return cufinufft if it is there, and can reach the data."""
    if not data.is_cuda:
        return None
    try:
        import cufinufft
    except ImportError:  # also where it finds no CUDA libraries
        return None
    return cufinufft


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
