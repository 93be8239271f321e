"""Where images go: whatever takes them one by one."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from gadgets.mrd import ismrmrd


class ImageSink(Protocol):
    """Takes the images of one scan. Behind its `with` they stand there complete, or, after an exception, not at all.

    What cannot be written is a `FileProblem`, at the beginning where that can be known.
    """

    def __enter__(self) -> ImageSink: ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def append(self, image: ismrmrd.Image) -> None:
        """Take one image."""
