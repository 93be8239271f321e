"""Twin of BucketToBufferGadget: the lines of a bucket, sorted into buffers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from gadgets import flags
from gadgets.gadget import Gadget, field
from gadgets.items import Bucket, ReconData
from gadgets.mrd import ismrmrd

Dimension = Literal["average", "contrast", "phase", "repetition", "set", "segment", "slice", "none", ""]
SPLIT = ("average", "contrast", "phase", "repetition", "set", "segment")


@dataclass
class BucketToBuffer(Gadget):
    """Sort the lines of each bucket into buffers: counters that are neither N, S nor slice make buffers of their own.

    The stock gadget fills k-space arrays; here `BufferIntake` places the lines, of either, as the direct chain does. So
    a line without a place is set aside there, and averages are averaged, whatever the axes.
    """

    accepts: ClassVar[tuple[type, ...]] = (Bucket,)
    emits: ClassVar[tuple[type, ...]] = (ReconData,)
    twin_of: ClassVar[str] = "BucketToBufferGadget"
    stock_only: ClassVar[frozenset[str]] = frozenset({"verbose"})

    N_dimension: Annotated[Dimension, field(description="counter along the axis N")] = "none"
    S_dimension: Annotated[Dimension, field(description="counter along the axis S")] = "none"
    split_slices: Annotated[bool, field(description="one buffer per slice")] = False
    ignore_segment: Annotated[bool, field(description="segments fill the same k-space")] = False

    def process(self, buckets: Iterable[Bucket]) -> Iterator[ReconData]:
        """Emit the buffers of each bucket in the order of their counters."""
        for bucket in buckets:
            groups: dict[tuple[int, ...], list[ismrmrd.Acquisition]] = defaultdict(list)
            for line in [*(line for line in bucket.ref if flags.is_calibration_only(line)), *bucket.data]:
                groups[self._key(line)].append(line)
            yield from (ReconData(groups[key]) for key in sorted(groups))

    def _key(self, line: ismrmrd.Acquisition) -> tuple[int, ...]:
        merged = {self.N_dimension, self.S_dimension} | ({"segment"} if self.ignore_segment else set())
        counters = [0 if name in merged else getattr(line.idx, name) for name in SPLIT]
        return (line.encoding_space_ref, line.idx.slice if self.split_slices else 0, *counters)
