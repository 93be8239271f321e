"""Torch's threads asleep while they wait, where Python was started by somebody else."""

import os
import sys
import warnings

from pipelines.idle_threads import sleep_while_waiting


def let_threads_sleep() -> None:
    """Let them sleep; warn where torch has been loaded already, and its threads wait in a busy loop until the end."""
    is_too_late = "torch" in sys.modules and "OMP_WAIT_POLICY" not in os.environ
    sleep_while_waiting()
    if is_too_late:
        warnings.warn(
            "torch was imported before pipelines.api, so its threads wait in a busy loop, and reconstructions are "
            "slower where other programs want the cores; import pipelines.api first, or set OMP_WAIT_POLICY=passive",
            stacklevel=3,
        )
