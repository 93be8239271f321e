"""Whose fault it is: the pipeline's, before the scan; the scan's, during it."""


class PipelineError(Exception):
    """The chain cannot serve this scan: unknown gadget, wrong property, unsupported header. Raised before any line.

    Where one `property` of a `gadget` is wrong, both are named, here and in front of the sentence.
    """

    def __init__(self, sentence: str, *, gadget: str | None = None, property: str | None = None) -> None:
        where = ".".join(filter(None, (gadget, property)))
        super().__init__(f"{where}: {sentence}" if where else sentence)
        self.gadget, self.property = gadget, property


class ScanError(Exception):
    """The data that arrived cannot become the image that was asked for."""
