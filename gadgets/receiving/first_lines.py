"""How many coils the lines of a scan have, when the first of them may be the wrong one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from gadgets.mrd import ismrmrd
from gadgets.receiving.role import Role, role_of
from gadgets.scan import Scan

MOST_HELD = 16  # lines of which no two are alike: then the first one counts


class FirstLines:
    """Learns the number of coils of each encoding's lines: as the header announces it, or as two lines agree.

    A first line of as many coils as the header announces is believed at once. Other headers may be wrong, or a gadget
    before may have combined coils: then lines wait for the next one.
    """

    def __init__(self, scan: Scan) -> None:
        self._announced = getattr(scan.header.acquisitionSystemInformation, "receiverChannels", None)
        self._seen: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self._n_coils: dict[int, int] = {}

    def n_coils(self, line: ismrmrd.Acquisition) -> int:
        """Coils that a line must have; its own, where nothing has told."""
        return self._n_coils.setdefault(line.encoding_space_ref, line.active_channels)

    def through(self, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Acquisition]:
        """Let lines pass in their order, held back until it is known how many coils they must have."""
        held: list[ismrmrd.Acquisition] = []
        for line in lines:
            held.append(line)
            if role_of(line) is not Role.FOREIGN and line.encoding_space_ref not in self._n_coils:
                self._learn(line)
            if self._n_coils.keys() >= self._seen.keys() or len(held) == MOST_HELD:
                yield from held
                held = []
        yield from held

    def _learn(self, line: ismrmrd.Acquisition) -> None:
        at, n_coils = line.encoding_space_ref, line.active_channels
        seen = self._seen[at]
        seen[n_coils] += 1
        if seen[n_coils] > 1 or (seen.total() == 1 and n_coils == self._announced):
            self._n_coils[at] = n_coils
