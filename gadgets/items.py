"""What flows between gadgets, beside `ismrmrd.Acquisition` and `ismrmrd.Image`. Tensors are shared, never written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import ismrmrd
import numpy as np
import torch
from torch import Tensor

from gadgets.scan import Encoding
from kband_core.coils import compress
from kband_core.fourier import to_image


@dataclass(frozen=True)
class Bucket:
    """Acquisitions that belong together; a calibration-and-imaging line stands in both lists."""

    data: list[ismrmrd.Acquisition]
    ref: list[ismrmrd.Acquisition]


class LineCount(NamedTuple):
    """Lines of one image: received, and expected or None where the header cannot tell. Averages count one by one."""

    received: int
    expected: int | None

    @property
    def complete(self) -> bool | None:
        """Whether nothing is missing; None if nobody can say."""
        return None if self.expected is None else self.received >= self.expected

    def __str__(self) -> str:
        return f"{self.received} of {'an unknown number' if self.expected is None else self.expected}"


@dataclass(frozen=True)
class Calibration:
    """Calibration lines of one slice, sent as soon as they are complete, ahead of the buffer they belong to.

    `acs`: complex64 [z coil ky kx], of its own extent, already in image space along z. `matrix`: (ky, kx) of the
    images that will follow.
    """

    acs: Tensor
    matrix: tuple[int, int]
    encoding: Encoding
    slice: int

    def to(self, device: torch.device) -> Calibration:
        """Return the same calibration on `device`."""
        return replace(self, acs=self.acs.to(device))


@dataclass(frozen=True)
class ReconBuffer:
    """K-space of one or several images, whitened, readout oversampling removed, lines at their matrix rows.

    kspace   complex64 [slice s n coil kz ky kx]
    mask     bool [slice s n kz ky], the lines that were acquired
    headers  object [slice s n], header of the line nearest the k-space centre
    counts   object [slice s n], `LineCount`s
    readout  first and last+1 sample along kx that was measured (partial echo)
    acs      complex64 [slice z coil ky kx] of its own extent, or None; already in image space along z
    acs_row  matrix row of the first ACS line where those lines may also serve the image (embedded), else None
    csm      complex64 [slice z set coil y x] coil sensitivity maps, zero where they are uncertain, or None
    all_maps the same, where they are uncertain too: to combine coils, whose noise has no border then
    unmixing complex64 [slice coil virtual] what undoes whitening and compression, or None; noise then has SD 1
    held_out lines that judge the image: k-space like `kspace`, and weights [slice s n kz ky], zero elsewhere; or None
    problems sentences about what went wrong on the way; they travel to the image's comment
    """

    kspace: Tensor
    mask: Tensor
    headers: np.ndarray
    counts: np.ndarray
    encoding: Encoding
    readout: tuple[int, int]
    acs: Tensor | None = None
    acs_row: int | None = None
    csm: Tensor | None = None
    all_maps: Tensor | None = None
    unmixing: Tensor | None = None
    held_out: tuple[Tensor, Tensor] | None = None
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        slices, s, n, _, kz, ky, _ = self.kspace.shape
        if self.mask.shape != (slices, s, n, kz, ky) or self.headers.shape != (slices, s, n):
            raise ValueError(
                f"buffer: k-space {tuple(self.kspace.shape)}, mask {tuple(self.mask.shape)} and headers "
                f"{self.headers.shape} do not belong together"
            )

    def slice_counters(self) -> list[int]:
        """Slice number of each entry along the slice axis."""
        return [next(h.idx.slice for h in row.flat if h is not None) for row in self.headers]

    def single(self, index: tuple[int, int, int]) -> ReconBuffer:
        """Return the buffer of one image, (slice, s, n); all its axes stay, of length 1."""
        one = tuple(slice(i, i + 1) for i in index)
        per_slice = {name: getattr(self, name) for name in ("acs", "csm", "all_maps", "unmixing")}
        return replace(
            self, kspace=self.kspace[one], mask=self.mask[one], headers=self.headers[one], counts=self.counts[one],
            held_out=None if self.held_out is None else tuple(part[one] for part in self.held_out),
            **{name: None if tensor is None else tensor[one[0]] for name, tensor in per_slice.items()},
        )  # fmt: skip

    def planes(self) -> tuple[Tensor, Tensor]:
        """Return the 2-D problems of a single image: k-space `(z, coil, ky, kx)` and its mask.

        kz is transformed to z first, so it must be sampled the same way for every ky; `ValueError` if not. ACS lines
        that may serve the image fill rows that have no line of their own. The mask is `(1, ky, 1)`, or `(1, ky, kx)`
        where only a part of the readout was measured (partial echo).
        """
        mask = self.mask[0, 0, 0]
        lines = mask.any(-2)
        if not torch.equal(mask, mask.any(-1, keepdim=True) & lines):
            raise ValueError("lines differ from partition to partition; undersampling in 2 directions is not supported")
        kspace = partitions_to_image(self.kspace[0, 0, 0])
        if self.acs is not None and self.acs_row is not None:
            rows = torch.arange(self.acs.shape[-2], device=lines.device) + self.acs_row
            kspace, missing = kspace.clone(), ~lines[rows].unsqueeze(-1)
            kspace[..., rows, :] = torch.where(missing, self.acs[0], kspace[..., rows, :])
            lines = lines.index_fill(-1, rows, True)
        mask = lines[None, :, None]
        if self.readout != (0, self.kspace.shape[-1]):
            samples = torch.zeros(self.kspace.shape[-1], dtype=torch.bool, device=mask.device)
            samples[slice(*self.readout)] = True
            mask = mask & samples
        return kspace, mask

    def recombined(self, matrix: Tensor) -> ReconBuffer:
        """Return the same buffer of other coils, `(slice, virtual, coil)`: k-space, calibration and held-out lines."""

        def combined(kspace: Tensor) -> Tensor:
            return torch.einsum("lvc,lsnczyx->lsnvzyx", matrix, kspace)

        held_out = self.held_out and (combined(self.held_out[0]), self.held_out[1])
        acs = compress(self.acs, matrix.unsqueeze(1))
        back = torch.linalg.pinv(matrix.to(torch.complex128)).to(matrix.dtype)
        unmixing = back if self.unmixing is None else self.unmixing @ back
        return replace(self, kspace=combined(self.kspace), acs=acs, held_out=held_out, unmixing=unmixing)

    def to(self, device: torch.device) -> ReconBuffer:
        """Return the same buffer on `device`."""
        moved = {name: getattr(self, name) for name in ("kspace", "mask", "acs", "csm", "all_maps", "unmixing")}
        held_out = None if self.held_out is None else tuple(part.to(device) for part in self.held_out)
        there = {name: tensor.to(device) for name, tensor in moved.items() if tensor is not None}
        return replace(self, **there, held_out=held_out)


def acquired_lines(mask: Tensor) -> Tensor:
    """Reduce the mask of `planes` to its lines, bool `(ky,)`."""
    return mask.any(-1).flatten(0, -2).any(0)


def partitions_to_image(kspace: Tensor) -> Tensor:
    """Transform `(..., coil, kz, ky, kx)` to image space along z: `(..., z, coil, ky, kx)`."""
    if kspace.shape[-3] > 1:
        kspace = to_image(kspace, dims=(-3,))
    return kspace.movedim(-3, -4)


@dataclass(frozen=True)
class ImageArray:
    """Images on the CPU: data complex64 [slice s n channel z y x]; headers and meta object [slice s n]."""

    data: Tensor
    headers: np.ndarray
    meta: np.ndarray


@dataclass(frozen=True)
class TrainingPlane:
    """One 2-D problem on the CPU, as the scanner has it before reconstruction: something to train on.

    `kspace` complex64 [coil ky kx], zero where `mask`, bool [ky 1] or [ky kx], is False; `csm` [set coil y x]. `slice`
    counts through all partitions of all slices. `angle`, in degrees, is that of the band which was acquired, or None.
    """

    kspace: Tensor
    mask: Tensor
    csm: Tensor
    slice: int
    contrast: int = 0
    repetition: int = 0
    angle: float | None = None
