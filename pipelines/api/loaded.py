"""A raw file as arrays: k-space as a reconstruction gets it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
from torch import Tensor

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.errors import ScanError
from gadgets.gadget import gadget_class
from gadgets.items import ImageArray, ReconBuffer
from gadgets.receiving.acquired_kspace import acquired_kspace
from gadgets.scan import Scan
from kband_core.sampling import Trajectory
from pipelines.api.opened import AUTO, chain_for, opened
from pipelines.chain.chain import Chain
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict

COUNTERS = ("slice", "contrast", "repetition", "set", "phase", "average")


@dataclass(frozen=True)
class LoadedScan:
    """Arrays of a scan; the first axis counts its images, and `counters` says which slice, contrast ... each is.

    kspace      complex64 (image, coil, ky, kx), 3-D (image, coil, kz, ky, kx), or (image, coil, shot, sample);
                whitened, oversampling removed, at most 12 virtual coils: as the chain that was named makes it
    mask        bool (image, ky, 1) or (image, ky, kx); 3-D (image, 1, ky, 1), or (image, kz, ky, 1) where partitions
                are left out; None along a trajectory
    trajectory  float32 (image, shot, sample, 2), cycles per pixel, ky first; None on a grid
    acs         complex64 (image, coil, ky, kx) of its own extent; 3-D ones stand in image space along z, or along x
                where partitions are left out; None if there are none. Lines that serve the image are in kspace, too
    csm         complex64 (image, set, coil, y, x) or (image, set, coil, z, y, x); None if not asked for
    header      the MRD header, parsed
    """

    kspace: np.ndarray
    mask: np.ndarray | None
    trajectory: np.ndarray | None
    acs: np.ndarray | None
    csm: np.ndarray | None
    counters: list[dict[str, int]]
    header: Any


def load(path: str | PathLike, pipeline: str = AUTO, *, maps: bool = False, **properties: Any) -> LoadedScan:
    """Return a raw file as arrays: what the gadgets of `pipeline` before its reconstruction make of it.

    With `maps`, coil sensitivity maps as well. A property is named as in the XML (`n_coils=8`), with its gadget where
    several have it. What is amiss with an image, lines missing for one, is a warning. Raises `FileProblem`,
    `PipelineError` or `ScanError`.
    """
    with opened(path) as (scan, lines):
        chain, lines = chain_for(scan, lines, pipeline, properties)
        gadgets = Pipeline.from_chain(_before_reconstruction(chain, maps))
        buffers = [item for item in run(gadgets, scan, lines, Verdict()) if isinstance(item, ReconBuffer)]
    images = [buffer.single(index) for buffer in buffers for index in np.ndindex(buffer.headers.shape)]
    images = sorted((image for image in images if image.headers.flat[0] is not None), key=_place)
    if not images:
        raise ScanError(f"{path}: no line of an image")
    for image in images:
        _warn(path, image)
    return _stacked(images, scan)


def _before_reconstruction(chain: Chain, maps: bool) -> Chain:
    kinds = [gadget_class(node.classname) for node in chain.nodes]
    end = next((n for n, kind in enumerate(kinds) if ImageArray in kind.emits), len(kinds))
    wanted = [n for n in range(end) if maps or kinds[n] is not CoilSensitivities]
    return replace(chain, nodes=tuple(chain.nodes[n] for n in wanted))


def _place(image: ReconBuffer) -> tuple[int, ...]:
    counters = _counters(image)
    return (image.encoding.index, *(counters[name] for name in reversed(COUNTERS)))


def _counters(image: ReconBuffer) -> dict[str, int]:
    return {name: int(getattr(image.headers.flat[0].idx, name)) for name in COUNTERS}


def _warn(path: str | PathLike, image: ReconBuffer) -> None:
    count, sentences = image.counts.flat[0], [*image.problems]
    if count is not None and count.complete is False:
        sentences.insert(0, f"{count} lines")
    if sentences:
        warnings.warn(f"{path}: slice {_counters(image)['slice']}: {'; '.join(sentences)}", stacklevel=3)


def _stacked(images: Sequence[ReconBuffer], scan: Scan) -> LoadedScan:
    along_trajectory = isinstance(images[0].sampling, Trajectory)
    return LoadedScan(
        kspace=_stack("k-space", [_kspace(image) for image in images]),
        mask=None if along_trajectory else _stack("masks", [_mask(image) for image in images]),
        trajectory=_stack("trajectories", [image.sampling.coords[0, 0, 0] for image in images])
        if along_trajectory else None,
        acs=_stack("calibration lines", [_acs(image) for image in images]),
        csm=_stack("maps", [_csm(image) for image in images]),
        counters=[_counters(image) for image in images],
        header=scan.header,
    )  # fmt: skip


def _stack(what: str, parts: Sequence[Tensor | None]) -> np.ndarray | None:
    if any(part is None for part in parts):
        return None
    shapes = sorted({tuple(part.shape) for part in parts})
    if len(shapes) > 1:
        raise ScanError(f"load: {what} of images differ in shape, {shapes[0]} and {shapes[-1]}; one shape is expected")
    return np.stack([part.cpu().numpy() for part in parts])


def _flat(partitions: Tensor, dim: int) -> Tensor:
    """Without the axis of partitions, where there is but one."""
    return partitions.squeeze(dim)


def _kspace(image: ReconBuffer) -> Tensor:
    """With the calibration lines that serve the image, as reconstructions take it."""
    if isinstance(image.sampling, Trajectory):
        return _flat(image.kspace[0, 0, 0], 1)
    kspace = acquired_kspace(image)
    return kspace if image.turned else _flat(kspace, 1)


def _mask(image: ReconBuffer) -> Tensor:
    mask = image.plane_sampling.mask  # (1, ky, 1) or (1, ky, kx), turned (1, kz, ky)
    if image.turned:
        return mask.movedim(0, -1)
    return mask if image.kspace.shape[4] > 1 else _flat(mask, 0)


def _acs(image: ReconBuffer) -> Tensor | None:
    if image.acs is None:
        return None
    acs = image.acs[0].movedim(0, 1)  # (coil, z, ky, kx), turned (coil, x, kz, ky)
    return acs.movedim(1, -1) if image.turned else _flat(acs, 1)


def _csm(image: ReconBuffer) -> Tensor | None:
    if image.csm is None:
        return None
    csm = image.csm[0]  # (z, set, coil, y, x), turned (x, set, coil, z, y)
    return csm.movedim(0, -1) if image.turned else _flat(csm.movedim(0, 2), 2)
