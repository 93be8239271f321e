"""What flows between gadgets, beside `ismrmrd.Acquisition` and `ismrmrd.Image`. Tensors are shared, never written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from gadgets.bands import Bands
from gadgets.encoding import Encoding
from gadgets.mrd import ismrmrd
from kband_core.coming_lines import ComingLines
from kband_core.device import send
from kband_core.fourier import partitions_to_image
from kband_core.looked_lines import LookedLines
from kband_core.maps_ahead import MapsAhead
from kband_core.sampling import Grid, Trajectory

LONGEST_SENTENCE = 400  # characters of an `Aside`: it stands in one line of a console
LARGEST_WAVEFORM = 1 << 16  # bytes
THERE = "kspace", "acs", "csm", "all_maps"  # of a `ReconBuffer`, where the device is
AsideKind = Literal["feedback", "progress", "warning", "decision"]


@dataclass(frozen=True)
class Bucket:
    """Acquisitions that belong together; a calibration-and-imaging line stands in both lists."""

    data: list[ismrmrd.Acquisition]
    ref: list[ismrmrd.Acquisition]


@dataclass(frozen=True)
class ReconData:
    """Lines that BucketToBuffer gathered for one buffer, each once; those that only calibrate come first."""

    lines: list[ismrmrd.Acquisition]


@dataclass(frozen=True)
class Calibration:
    """Calibration lines of one slice, sent as soon as they are complete, ahead of the buffer they belong to.

    `acs`: complex64 [z coil ky kx], of its own extent, already in image space along z. `matrix`: (ky, kx) of the
    images that will follow. `turned`: [x coil kz ky] and (kz, ky), as in the `ReconBuffer`. `coming`: as there.
    """

    acs: Tensor
    matrix: tuple[int, int]
    encoding: Encoding
    slice: int
    turned: bool = False
    coming: ComingLines | None = None

    def to(self, device: torch.device) -> Calibration:
        """Return the same calibration on `device`."""
        return replace(self, acs=send(self.acs, device), coming=self.coming if device.type == "cpu" else None)


@dataclass(frozen=True)
class ReconBuffer:
    """K-space of one or several images, whitened, readout oversampling removed, lines at their matrix rows.

    kspace   complex64 [slice s n coil kz ky kx]; along a trajectory [... coil shot sample], stacks [... z shot sample]
    sampling what was acquired: a grid's mask is [slice s n kz ky kx], or [slice s n kz ky 1] of whole lines
    headers  object [slice s n], header of the line nearest the k-space centre; counts, their `LineCount`s
    readout  first and last+1 sample along kx that was measured (partial echo)
    acs      complex64 [slice z coil ky kx] of its own extent, or None; already in image space along z
    acs_row  matrix row of the first ACS line where those lines may also serve the image (embedded), else None
    csm      complex64 [slice z set coil y x] coil sensitivity maps, zero where they are uncertain, or None
    all_maps the same, where they are uncertain too: to combine coils, whose noise has no border then
    unmixing complex64 [slice coil virtual] on the CPU, undoes whitening and compression; or None. Noise has SD 1
    ahead    what csm and all_maps, of a single plane, tell without an image, or None
    held_out lines that judge the image: k-space like `kspace`, and weights [slice s n kz ky], zero elsewhere; or None
    looked   figures of its lines, told as they came: of a single plane, as long as these are the very lines; or None
    coming   these lines, and what was made of each as it came: of a single plane, as long as they are these; or None
    problems sentences about what went wrong on the way, for the image's comment; notes: more of its meta, by key
    bands    slices that were excited at once, of which this is the sum; z of acs and maps counts them. Or None
    turned   undersampled along ky and kz, so in image space along x: k-space [slice s n coil x kz ky], mask
             [slice s n 1 kz ky], and wherever else this says z, ky, kx (or z, y, x) it is x, kz, ky (or x, z, y)
    """

    kspace: Tensor
    sampling: Grid | Trajectory
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
    looked: LookedLines | None = None
    coming: ComingLines | None = None
    ahead: tuple[MapsAhead, MapsAhead] | None = None
    problems: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    turned: bool = False
    bands: Bands | None = None

    def __post_init__(self) -> None:
        images, samples = self.kspace.shape[:3], self.kspace.shape[4:]
        alike = (1, *samples[1:]) if self.turned else (*samples[:-1], 1)  # whole lines
        alike = alike if isinstance(self.sampling, Grid) else samples[-2:]  # of every z
        by_lines = [(*images, *alike)]
        if self.sampling.shape not in [(*images, *samples), *by_lines] or self.headers.shape != images:
            raise ValueError(
                f"buffer: k-space {tuple(self.kspace.shape)}, sampling {tuple(self.sampling.shape)} and headers "
                f"{self.headers.shape} do not belong together"
            )

    def slice_counters(self) -> list[int]:
        """Slice number of each entry along the slice axis."""
        return [next(h.idx.slice for h in row.flat if h is not None) for row in self.headers]

    def single(self, index: tuple[int, int, int]) -> ReconBuffer:
        """Return the buffer of one image, (slice, s, n); all its axes stay, of length 1."""
        one = tuple(slice(i, i + 1) for i in index)
        per_slice = {name: getattr(self, name) for name in (*THERE[1:], "unmixing")}
        return replace(
            self, kspace=self.kspace[one], sampling=self.sampling[one], headers=self.headers[one],
            counts=self.counts[one], held_out=self.held_out and tuple(part[one] for part in self.held_out),
            **{name: None if tensor is None else tensor[one[0]] for name, tensor in per_slice.items()},
        )  # fmt: skip

    def planes(self) -> tuple[Tensor, Grid]:
        """Return the 2-D problems of a single image: k-space `(z, coil, ky, kx)` and its `plane_sampling`.

        kz is transformed to z; a `turned` one has `(x, coil, kz, ky)`. ACS lines that may serve the image fill rows
        that have no line of their own. Made once.
        """
        sampling = self.plane_sampling
        return self._plane_kspace, sampling

    @cached_property
    def _plane_kspace(self) -> Tensor:
        if self.turned:
            return self.kspace[0, 0, 0].movedim(1, 0)
        kspace = partitions_to_image(self.kspace[0, 0, 0])
        if (rows := self._acs_rows()) is not None:
            missing = ~self.sampling.mask[0, 0, 0].any(0)[rows]
            kspace = kspace.clone()
            kspace[..., rows, :] = torch.where(missing, self.acs[0], kspace[..., rows, :])
        return kspace

    @cached_property
    def plane_sampling(self) -> Grid:
        """How the 2-D problems of a single image are sampled, all alike, ACS lines that serve it included.

        The mask is `(1, ky, 1)`, or `(1, ky, kx)` where only a part of the readout was measured (partial echo). Raises
        `ValueError` unless kz is sampled the same way for every ky.
        """
        if isinstance(self.sampling, Trajectory):
            raise ValueError("samples lie along a trajectory; only a grid has planes")
        one = self.sampling[0, 0, 0]
        if self.turned:
            return one
        plane = one.here().mask.any(0)
        if not one.has_like_partitions():
            raise ValueError("lines differ from partition to partition; undersampling in 2 directions needs x apart")
        if (rows := self._acs_rows()) is not None:
            plane[rows] = True
        if self.readout != (0, self.kspace.shape[-1]):
            plane = plane & self.measured_readout(plane.device)
        return Grid(plane[None]).to(self.kspace.device)

    def measured_readout(self, device: torch.device | None = None) -> Tensor:
        """Return which samples along kx were measured, bool `(kx,)`; where k-space is, if not told where."""
        samples = torch.arange(self.kspace.shape[-1], device=device or self.kspace.device)
        return (samples >= self.readout[0]) & (samples < self.readout[1])

    def _acs_rows(self) -> slice | None:
        """Matrix rows of ACS lines that may serve the image."""
        n_rows, first = 0 if self.acs is None else self.acs.shape[-2], self.acs_row
        return slice(first, first + n_rows) if n_rows and first is not None else None

    def to(self, device: torch.device) -> ReconBuffer:
        """Return the same buffer on `device`."""
        held_out = None if self.held_out is None else tuple(send(part, device) for part in self.held_out)
        there = {name: send(one, device) for name in THERE if (one := getattr(self, name)) is not None}
        return replace(self, **there, sampling=self.sampling.to(device), held_out=held_out)


@dataclass(frozen=True)
class ImageArray:
    """Images on the CPU: data complex64 [slice s n channel z y x]; headers and meta object [slice s n]."""

    data: Tensor
    headers: np.ndarray
    meta: np.ndarray


@dataclass(frozen=True)
class TrainingPlane:
    """One 2-D problem on the CPU, as the scanner has it before reconstruction: something to train on.

    `kspace` complex64 [coil ky kx], zero where `mask`, bool [ky 1] or [ky kx], is False; `csm` [set coil y x]. Along a
    `trajectory`, with its density, ky and kx are shot and sample. `slice` counts through all partitions of all slices.
    `angle`, in degrees, is that of the band which was acquired, or None. With subject, protocol and source it becomes a
    `Plane` of `kband_core.training`: it does not know whose it is.
    """

    kspace: Tensor
    mask: Tensor
    csm: Tensor
    slice: int
    contrast: int = 0
    repetition: int = 0
    angle: float | None = None
    trajectory: Trajectory | None = None


@dataclass(frozen=True)
class Aside:
    """What is for the host, not for the next gadget: feedback to the scanner, progress, a warning.

    Any gadget may yield one, beside what it `emits`. It passes the gadgets behind at once, and ends on a console, in a
    log or at the scanner: `text` tells of lines, slices, counts and times, never of the patient. `waveform` says the
    same in numbers, to scanners that can read it; of a decision the host alone hears. Raises `ValueError` for another
    kind, or a waveform above 64 KiB.
    """

    kind: AsideKind
    text: str
    waveform: ismrmrd.Waveform | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(AsideKind):
            raise ValueError(f"aside: kind is '{self.kind}', expected {', '.join(get_args(AsideKind))}")
        n_bytes = 0 if self.waveform is None else self.waveform.data.nbytes
        if n_bytes > LARGEST_WAVEFORM:
            raise ValueError(f"aside: the waveform has {n_bytes:,} bytes, at most {LARGEST_WAVEFORM:,} are passed on")

    @property
    def level(self) -> Literal["INFO", "WARNING"]:
        """How urgent it is, in the words of logs and scanners."""
        return "WARNING" if self.kind == "warning" else "INFO"

    @property
    def sentence(self) -> str:
        """The text on one line, cut to 400 characters, without what would steer a terminal."""
        line = " ".join(self.text.split())[:LONGEST_SENTENCE]
        return "".join(sign if sign.isprintable() else "\ufffd" for sign in line)
