"""Lines gathered into buckets until a counter changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator

from gadgets.flags import is_calibration, is_calibration_only, is_noise, is_phase_correction
from gadgets.gadget import Gadget, field
from gadgets.items import Bucket
from gadgets.mrd import ismrmrd

Counter: TypeAlias = Literal[
    "kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast", "phase", "repetition", "set",
    "segment", "user_0", "user_1", "user_2", "user_3", "user_4", "user_5", "user_6", "user_7", "n_acquisitions", "none",
]  # fmt: skip
as_stock_spells = BeforeValidator(lambda name: name.lower() or "none")


@dataclass
class AcquisitionAccumulateTrigger(Gadget):
    """Gather lines into buckets, one for each value of a counter, and send them when another counter changes.

    The line whose counter differs belongs to the next buckets. Buckets leave in the order of the sorting counter; what
    is left leaves at the end of the scan. Noise readouts are dropped. Calibration lines go to `ref`, all lines but
    those for calibration only to `data`, phase-correction lines to neither; a bucket of these alone is not sent.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (Bucket,)
    twin_of: ClassVar[str] = "AcquisitionAccumulateTriggerGadget"

    trigger_dimension: Annotated[
        Counter, as_stock_spells, field(description="counter whose change sends the buckets, or n_acquisitions")
    ] = "none"
    sorting_dimension: Annotated[
        Counter, as_stock_spells, field(description="counter that tells one bucket from another")
    ] = "none"
    n_acquisitions_before_trigger: Annotated[
        int, field(ge=1, description="n_acquisitions: lines before the first sending")
    ] = 40
    n_acquisitions_before_ongoing_trigger: Annotated[
        int, field(ge=1, description="n_acquisitions: lines before each later sending")
    ] = 40

    def process(self, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[Bucket]:
        buckets: dict[int, Bucket] = {}
        trigger_of, sorting_of = _counter(self.trigger_dimension), _counter(self.sorting_dimension)
        last_trigger: int | None = None
        awaited, counted = self.n_acquisitions_before_trigger, 0
        for line in lines:
            if is_noise(line):
                continue
            trigger = trigger_of(line)
            if last_trigger not in (None, trigger):
                yield from _emptied(buckets)
            last_trigger = trigger
            _sort_in(buckets.setdefault(sorting_of(line), Bucket([], [])), line)
            counted += 1
            if self.trigger_dimension == "n_acquisitions" and counted == awaited:
                yield from _emptied(buckets)
                awaited, counted = self.n_acquisitions_before_ongoing_trigger, 0
        yield from _emptied(buckets)


def _counter(name: Counter) -> Callable[[ismrmrd.Acquisition], int]:
    if name in ("none", "n_acquisitions"):
        return lambda line: 0
    if name.startswith("user_"):
        number = int(name.removeprefix("user_"))
        return lambda line: line.idx.user[number]
    return lambda line: getattr(line.idx, name)


def _sort_in(bucket: Bucket, line: ismrmrd.Acquisition) -> None:
    if is_phase_correction(line):
        return
    if is_calibration(line):
        bucket.ref.append(line)
    if not is_calibration_only(line):
        bucket.data.append(line)


def _emptied(buckets: dict[int, Bucket]) -> Iterator[Bucket]:
    """Send the buckets that hold lines, by sorting counter, and begin anew."""
    full = [buckets[index] for index in sorted(buckets) if buckets[index].data or buckets[index].ref]
    buckets.clear()
    yield from full
