"""Twin of BucketToBufferGadget: a bucket becomes k-space buffers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import ismrmrd
import numpy as np
import torch

from gadgets import flags
from gadgets.errors import ScanError
from gadgets.gadget import Gadget, field
from gadgets.items import Bucket, LineCount, ReconBuffer
from gadgets.receiving.image_lines import ImageLines
from gadgets.receiving.kspace_lines import READ_IN_REVERSE, misfit
from gadgets.scan import Scan
from kband_core.sampling import Grid

Dimension = Literal["average", "contrast", "phase", "repetition", "set", "segment", "slice", "none", ""]
SPLIT = ("average", "contrast", "phase", "repetition", "set", "segment")


@dataclass
class BucketToBuffer(Gadget):
    """Put the lines of each bucket into k-space, the centre line at N//2, images along the axes N, S and slice.

    Counters that are neither N nor S make buffers of their own. Unlike the stock gadget it always makes the full
    encoded matrix, averages lines that come twice, leaves out what is never an image's (navigators, feedback, dummies),
    and refuses a line without a place with `ScanError`.
    """

    accepts: ClassVar[tuple[type, ...]] = (Bucket,)
    emits: ClassVar[tuple[type, ...]] = (ReconBuffer,)
    twin_of: ClassVar[str] = "BucketToBufferGadget"
    stock_only: ClassVar[frozenset[str]] = frozenset({"verbose"})

    N_dimension: Annotated[Dimension, field(description="counter along the axis N")] = "none"
    S_dimension: Annotated[Dimension, field(description="counter along the axis S")] = "none"
    split_slices: Annotated[bool, field(description="one buffer per slice")] = False
    ignore_segment: Annotated[bool, field(description="segments fill the same k-space")] = False

    def open(self, scan: Scan) -> None:
        """Keep the header."""
        self._scan = scan

    def process(self, buckets: Iterable[Bucket]) -> Iterator[ReconBuffer]:
        """Emit the buffers of each bucket in the order of their counters."""
        for bucket in buckets:
            lines = [*bucket.data, *(line for line in bucket.ref if flags.is_calibration_only(line))]
            lines = [line for line in lines if flags.is_held_out(line) or not flags.is_never_image(line)]
            groups: dict[tuple[int, ...], list[ismrmrd.Acquisition]] = defaultdict(list)
            for line in lines:
                groups[self._key(line)].append(line)
            for key in sorted(groups):
                yield self._buffer(groups[key])

    def _key(self, line: ismrmrd.Acquisition) -> tuple[int, ...]:
        merged = {self.N_dimension, self.S_dimension} | ({"segment"} if self.ignore_segment else set())
        counters = [0 if name in merged else getattr(line.idx, name) for name in SPLIT]
        return (line.encoding_space_ref, line.idx.slice if self.split_slices else 0, *counters)

    def _buffer(self, lines: list[ismrmrd.Acquisition]) -> ReconBuffer:
        encoding = self._scan.encodings[lines[0].encoding_space_ref]
        shape = lines[0].active_channels, lines[0].number_of_samples
        images: dict[tuple[int, int, int], ImageLines] = {}
        for line in lines:
            if (line.active_channels, line.number_of_samples) != shape:
                got = f"{line.active_channels} coils × {line.number_of_samples} samples"
                raise ScanError(f"BucketToBufferGadget: a line has {got}, those before {shape[0]} × {shape[1]}")
            reason = READ_IN_REVERSE if flags.is_reversed(line) else misfit(encoding, line)
            if reason:
                raise ScanError(f"BucketToBufferGadget: a line has no place: {reason}")
            index = (line.idx.slice, self._counter(line, self.S_dimension), self._counter(line, self.N_dimension))
            images.setdefault(index, ImageLines(encoding, *shape)).add(line)
        return _stack(images)

    @staticmethod
    def _counter(line: ismrmrd.Acquisition, dimension: str) -> int:
        return 0 if dimension in ("none", "", "slice") else getattr(line.idx, dimension)


def _stack(images: dict[tuple[int, int, int], ImageLines]) -> ReconBuffer:
    """Put single images [1 1 1 …] side by side; axes run over the counters that occur."""
    axes = [sorted({index[axis] for index in images}) for axis in range(3)]
    shape = tuple(map(len, axes))
    singles = {index: image.buffer(None, (), serves=False) for index, image in images.items()}
    first = next(iter(singles.values()))
    kspace = torch.zeros(*shape, *first.kspace.shape[3:], dtype=first.kspace.dtype)
    mask = torch.zeros(*shape, *first.sampling.shape[3:], dtype=torch.bool)
    held_out = None
    if any(single.held_out for single in singles.values()):
        held_out = torch.zeros_like(kspace), torch.zeros(mask.shape[:-1])
    headers, counts = np.empty(shape, object), np.full(shape, None, object)
    for index, single in singles.items():
        place = tuple(axis.index(value) for axis, value in zip(axes, index, strict=True))
        kspace[place], mask[place] = single.kspace[0, 0, 0], single.sampling.mask[0, 0, 0]
        headers[place] = single.headers[0, 0, 0]
        counts[place] = LineCount(*single.counts[0, 0, 0])
        if single.held_out:
            held_out[0][place], held_out[1][place] = (part[0, 0, 0] for part in single.held_out)
    readouts = [single.readout for single in singles.values() if single.readout[1] > 0]
    readout = (min(r[0] for r in readouts), max(r[1] for r in readouts)) if readouts else first.readout
    acs, row, flaws = _stacked_acs(images, axes[0])
    return replace(
        first, kspace=kspace, sampling=Grid(mask), headers=headers, counts=counts, readout=readout, acs=acs,
        acs_row=row, held_out=held_out, problems=flaws,
    )  # fmt: skip


def _stacked_acs(
    images: dict[tuple[int, int, int], ImageLines], slices: list[int]
) -> tuple[torch.Tensor | None, int | None, tuple[str, ...]]:
    """ACS of each slice, from its first image with calibration lines, else from its first image; and their flaws."""
    found = []
    for number in slices:
        of_slice = [image for index, image in sorted(images.items()) if index[0] == number]
        source = next((image for image in of_slice if image.calibration), of_slice[0])
        found.append(source.calibration_lines(24))
    if any(lines is None for lines in found):
        return None, None, ()
    flaws = tuple(f"slice {number}: {lines.flaw}" for number, lines in zip(slices, found, strict=True) if lines.flaw)
    if len({(lines.acs.shape, lines.row) for lines in found}) > 1:
        return None, None, flaws
    return torch.stack([lines.acs for lines in found]), found[0].row, flaws
