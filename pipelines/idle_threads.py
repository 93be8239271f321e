"""How torch's threads wait for one another: asleep, so that other programs get the cores."""

import os


def sleep_while_waiting() -> None:
    """Let torch's threads sleep while they wait, unless the site wants otherwise; to be called before torch is loaded.

    By default they wait in a busy loop: where other programs want the cores too, a 0.1 s reconstruction takes seconds.
    Processes that are started by this one inherit it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
