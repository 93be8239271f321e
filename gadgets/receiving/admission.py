"""Which lines can be used; the others are set aside and told."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import TypeAlias

from gadgets.encoding import Encoding
from gadgets.errors import ScanError
from gadgets.items import Aside
from gadgets.mrd import ismrmrd
from gadgets.receiving.first_lines import FirstLines
from gadgets.receiving.held_out_lines import flaw
from gadgets.receiving.image_lines import ImageKey, ImageLines
from gadgets.receiving.image_shots import ImageShots
from gadgets.receiving.place import misfit, place_of
from gadgets.receiving.readout_directions import BLADES, ReadoutDirections
from gadgets.receiving.role import Role
from gadgets.scan import Scan
from kband_core.plural import counted

Misfit: TypeAlias = Callable[[Encoding, ismrmrd.Acquisition], str | None]  # why a line has no place, if it has none
NUMBERS = re.compile(r"\d+")


class Admission:
    """Lets lines in or sets them aside: told at once, in the remarks on their image, and at the end of the scan.

    `misfit` says which have no place, `objection` what is wrong with readouts that turn within an image.
    """

    def __init__(self, who: str, scan: Scan, misfit: Misfit = misfit, objection: str = BLADES) -> None:
        self._who, self._scan, self._misfit = who, scan, misfit
        self.first_lines = FirstLines(scan)
        self._n_samples: dict[int, int] = {}  # of the first usable line, by encoding
        self._set_aside = _Reasons()
        self._is_reversed: dict[ImageKey, bool] = {}
        self._directions = ReadoutDirections(who, objection)
        self._of_image: defaultdict[ImageKey, _Reasons] = defaultdict(_Reasons)

    def refuses(
        self, line: ismrmrd.Acquisition, role: Role, key: ImageKey, image: ImageLines | ImageShots | None, *,
        has_left: bool,
        is_reversed: bool,
    ) -> str | None:  # fmt: skip
        """Say why a line cannot be used, or None. `image` is what came of its image, which may have left already.

        `is_reversed`: it has been turned round. An image whose lines were all read one way needs no more than that;
        between echoes of both ways lies a phase that nobody corrects here. Raises `ScanError` if readouts turn within
        an image: then no line of it can be used, and none of such a scan.
        """
        if has_left:
            return "it came after its image had left"
        reason = self._flaw(line, role, key, image)
        if reason is None and self._is_reversed.setdefault(key, is_reversed) is not is_reversed:
            reason = "it was read the other way round than lines of its image before, which only EPI can use"
        if reason is None:
            self._directions.check(line, key)
            self._n_samples.setdefault(key.encoding, line.number_of_samples)
        else:
            self._of_image[key].add(reason)
        return reason

    def set_aside(self, key: ImageKey, number: int, reason: str) -> Iterator[Aside]:
        """Set the line of that number aside; warn of the first with this reason, while the patient still lies there."""
        if self._set_aside.add(reason):
            yield Aside("warning", f"{self._who}: line {number} ({key}) set aside: {reason}")

    def remarks(self, key: ImageKey) -> list[str]:
        """Return what an image that leaves must say of lines set aside."""
        self._is_reversed.pop(key, None)
        self._directions.forget(key)
        return self._of_image.pop(key, _Reasons()).sentences()

    def problems(self) -> list[str]:
        """Say how many lines were set aside, a sentence for each kind of reason."""
        return self._set_aside.sentences()

    def _flaw(
        self, line: ismrmrd.Acquisition, role: Role, key: ImageKey, image: ImageLines | ImageShots | None
    ) -> str | None:
        n_samples = self._n_samples.get(key.encoding, line.number_of_samples)
        try:
            encoding = self._scan.encoding(key.encoding)
        except ScanError as error:
            return str(error)
        if not line.data.size:
            size = f"{line.active_channels} coils and {line.number_of_samples} samples"
            return f"it has {size}, at least 1 expected of each"
        if line.active_channels != (n_coils := self.first_lines.n_coils(line)):
            return f"it has {counted(line.active_channels, 'coil')}, other lines have {n_coils}"
        if line.number_of_samples != n_samples:
            return f"it has {counted(line.number_of_samples, 'sample')}, the lines before have {n_samples}"
        if reason := self._misfit(encoding, line) or (flaw(line) if role is Role.HELD_OUT else None):
            return reason
        if image is not None and image.repeats(line, role, place_of(encoding, line)):
            return f"it came before, and the header announces {encoding.n_averages} of its kind"
        return None


class _Reasons:
    """Why lines were set aside, by kind: reasons that differ in their numbers alone are one, told with the first's."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._n_lines: Counter[str] = Counter()

    def add(self, reason: str) -> bool:
        """Whether it is the first of its kind."""
        kind = NUMBERS.sub("", reason)
        self._first.setdefault(kind, reason)
        self._n_lines[kind] += 1
        return self._n_lines[kind] == 1

    def sentences(self) -> list[str]:
        return [
            f"{n} lines set aside, the first: {self._first[kind]}" if n > 1
            else f"1 line set aside: {self._first[kind]}"
            for kind, n in self._n_lines.items()
        ]  # fmt: skip
