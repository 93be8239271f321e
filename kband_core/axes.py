"""Refuse tensors that no reconstruction can use: whose axes do not fit, or whose samples are no numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def check_axes(**arrays: tuple[Tensor, str]) -> dict[str, int]:
    """Raise `ValueError` unless axes of the same name have the same length; return the lengths by name.

    `check_axes(kspace=(kspace, "... coil ky kx"), csm=(csm, "... coil y x"))`: names are matched from the end,
    a leading `...` admits any number of batch axes, which are not compared.
    """
    lengths: dict[str, tuple[int, str]] = {}
    for name, (array, spec) in arrays.items():
        axes = spec.split()
        batched = axes[0] == "..."
        axes = axes[1:] if batched else axes
        if array.ndim < len(axes) or (array.ndim > len(axes) and not batched):
            raise ValueError(f"{name} has shape {tuple(array.shape)}, but its axes are '{spec}'")
        for axis, length in zip(axes, array.shape[array.ndim - len(axes) :], strict=True):
            known, first = lengths.setdefault(axis, (length, name))
            if known != length:
                raise ValueError(f"{name} has {length} along {axis}, but {first} has {known}")
    return {axis: length for axis, (length, _) in lengths.items()}


def check_finite(who: str, kspace: Tensor) -> None:
    """Raise `ValueError` in the name of `who` if a sample of `kspace` is NaN or infinite."""
    n_broken = int((~torch.isfinite(kspace)).sum())
    if n_broken:
        raise ValueError(f"{who}: {n_broken} of {kspace.numel()} samples are not finite")
