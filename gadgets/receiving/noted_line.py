"""A line that brings along what is to be said of its image: gadgets before the buffer know what no buffer sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gadgets.mrd import ismrmrd
from gadgets.receiving.image_lines import ImageKey


class NotedLine(ismrmrd.Acquisition):
    """A line with `notes` on its image: meta key to text; that of `ImageComments` is added to the comment."""

    notes: dict[str, str]

    @classmethod
    def of(cls, line: ismrmrd.Acquisition, notes: dict[str, str]) -> NotedLine:
        """Return the line with notes."""
        noted = cls(line.getHead(), line.data, line.traj)
        noted.notes = notes
        return noted


def without_notes(
    lines: Iterable[ismrmrd.Acquisition], notes: dict[ImageKey, dict[str, str]]
) -> Iterator[ismrmrd.Acquisition]:
    """Let lines pass, and keep what they bring along of their images."""
    for line in lines:
        if isinstance(line, NotedLine):
            notes.setdefault(ImageKey.of(line), line.notes)
        yield line
