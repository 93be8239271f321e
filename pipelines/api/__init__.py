"""Python in three lines: `load` a raw file, `reconstruct` a file or arrays, by the gadgets that serve the scanner.

Import it before torch: then torch's threads sleep while they wait, as in the `kband` command.
"""

from pipelines.api.threads import let_threads_sleep

let_threads_sleep()

from pipelines.api.loaded import LoadedScan, load  # noqa: E402 - they load torch
from pipelines.api.reconstructed import Reconstructed, reconstruct  # noqa: E402

__all__ = ["LoadedScan", "Reconstructed", "load", "reconstruct"]
