"""What a scan was made of and where its time went, for who asks: one block of text at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from gadgets import flags
from gadgets.items import Calibration, ReconBuffer
from gadgets.mrd import ismrmrd
from kband_core.plural import plural
from pipelines.chain.verdict import Verdict


class Account:
    """Facts of a scan, told by what passes between the gadgets of its chain."""

    def __init__(self) -> None:
        self._coils: defaultdict[int, set[int]] = defaultdict(set)
        self._calibration_lines: set[int] = set()
        self._accelerations: set[float] = set()

    def see(self, place: int, item: Any) -> None:
        """Take notice of an item behind the gadget number `place`; 0 is what comes in."""
        if isinstance(item, ismrmrd.Acquisition) and not flags.is_noise(item):
            self._coils[place].add(item.active_channels)
        elif isinstance(item, ReconBuffer):
            self._coils[place].add(item.kspace.shape[3])
        elif isinstance(item, ismrmrd.Image) and "kband_acceleration" in item.meta:
            self._accelerations.add(float(item.meta["kband_acceleration"]))
        if isinstance(item, Calibration | ReconBuffer) and item.acs is not None:
            self._calibration_lines.add(item.acs.shape[-2])

    def watched(self, place: int, items: Iterable[Any]) -> Iterator[Any]:
        """Yield items, and take notice of each."""
        for item in items:
            self.see(place, item)
            yield item

    def text(self, verdict: Verdict) -> Iterator[str]:
        """Yield lines: R, calibration lines and coils, as far as they were seen; then the seconds of each gadget."""
        said = []
        if self._accelerations:
            said.append(f"R = {_range(self._accelerations, '.2f')} with calibration lines counted")
        if lines := self._calibration_lines:
            said.append(f"{_range(lines)} {plural(max(lines), 'calibration line')}")
        if self._coils:
            before, after = (self._coils[place] for place in (min(self._coils), max(self._coils)))
            compressed = f", {_range(after)} after compression" if after != before else ""
            said.append(f"{_range(before)} {plural(max(before), 'coil')}{compressed}")
        yield ", ".join(said) or "nothing is known of acceleration and coils"
        if verdict.seconds:
            width = max(map(len, verdict.seconds))
            yield f"{'seconds':<{width}}  after the last line   in all"
            for name, seconds in verdict.seconds.items():
                yield f"{name:<{width}}  {seconds.after_last_line:>19.3f}  {seconds.in_all:>7.3f}"


def _range(values: set[int] | set[float], digits: str = "") -> str:
    low, high = f"{min(values):{digits}}", f"{max(values):{digits}}"
    return low if low == high else f"{low} to {high}"
