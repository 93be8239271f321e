"""Whose fault it is: the pipeline's, before the scan; the scan's, during it."""


class PipelineError(Exception):
    """The chain cannot serve this scan: unknown gadget, wrong property, unsupported header. Raised before any line."""


class ScanError(Exception):
    """The data that arrived cannot become the image that was asked for."""
