"""A warm process that reconstructs one scan after another, each over a socket that it is handed.

Gadgets run here and nowhere else: one that crashes, hangs or eats the memory takes this process with it, not the
server, which starts another.
"""

from __future__ import annotations

import itertools
import logging
import os
import resource
import select
import socket
import sys
import threading
from contextlib import suppress

import structlog

from gadgets.items import Aside
from kband_core.threads import THREAD
from pipelines.hosts.events import Facts, Spent
from pipelines.hosts.logs import configure_logs
from pipelines.hosts.module import read_start, reconstruct
from pipelines.hosts.worker_protocol import DONE, READY, SCAN_ID_BYTES, SIGN_OF_LIFE, told
from pipelines.protocol.framing import CLOSE, WireError
from pipelines.protocol.wire import Wire

log = logging.getLogger(__name__)

SCANS_PER_LIFE = 1000  # what libraries leak, about 2 kB a scan, ends with the process

END_SECONDS = 1.0


def main(control_fd: int, memory_bytes: int) -> None:
    """Say `READY`, then serve scans until the server closes the control socket, or dies; then end, whatever runs.

    Ends by itself after `SCANS_PER_LIFE`, and when a scan has left a thread running, as `time_limit.within` does with
    an image that takes too long.
    """
    configure_logs()
    threading.Thread(target=_outlive_no_server, args=(control_fd,), daemon=True, name="server").start()
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    _warm_up()
    ours = threading.enumerate()
    with socket.socket(fileno=control_fd) as control:
        control.sendall(READY)
        for n_scans in itertools.count(1):
            scan_id, handed, _, _ = socket.recv_fds(control, SCAN_ID_BYTES, 1)
            if not handed:
                return
            structlog.contextvars.bind_contextvars(scan=scan_id.decode())
            _serve(Wire(socket.socket(fileno=handed[0])))
            if any(_is_running(thread) for thread in threading.enumerate() if thread not in ours):
                log.warning("a gadget left a thread running; this worker ends")
                return
            if n_scans >= SCANS_PER_LIFE:
                return  # without DONE, so that no further scan is handed to a process that is about to end
            control.sendall(DONE)


def _serve(wire: Wire) -> None:
    def tell(what: Aside | Facts | Spent) -> None:
        wire.send(told(what))

    def still_waiting() -> None:
        with suppress(WireError):  # who waits for its turn learns of it soon enough
            wire.send(SIGN_OF_LIFE)

    try:
        reconstruct(wire, *read_start(wire), began=tell, hear=tell, spent=tell, still_waiting=still_waiting,
                    counts_images=False)  # fmt: skip
        wire.send(CLOSE)
    except WireError as error:
        log.info("scan given up: %s", error)
    finally:
        wire.close()


def _outlive_no_server(control_fd: int) -> None:
    """End this process when the server's has ended: a gadget that hangs would keep memory and GPU from the next one."""
    hang_up = select.poll()
    hang_up.register(control_fd, 0)
    hang_up.poll()
    os._exit(1)


def _is_running(thread: threading.Thread) -> bool:
    """Whether a thread goes on after its scan; those that have done their work may still be on their way out.

    Threads that computed parts of an image wait for those of the next: one that does not, the image's waits for.
    """
    if thread.name.startswith(THREAD):
        return False
    thread.join(END_SECONDS)
    return thread.is_alive()


def _warm_up() -> None:
    """Load what the first scan would wait for: libraries, their thread pools, decompositions, FFT plans, and the models
    that installed pipelines name; on the GPU, where there is one.
    """
    import torch

    from kband_core.calibration import espirit_maps
    from kband_core.device import choose_device
    from kband_core.grappa import calibrate_grappa
    from kband_core.models import load_model
    from kband_core.reconstruct import network, sense
    from kband_core.sampling import Grid

    kspace = torch.randn(4, 32, 32, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    try:
        kspace = kspace.to(choose_device("auto"))
        sampling = Grid(torch.ones(32, 1, dtype=torch.bool, device=kspace.device))
        csm = espirit_maps(kspace[:, 4:-4], (32, 32))
        calibrate_grappa(kspace[:, 4:-4], 2)
        sense(kspace, sampling, csm, regularisation=0.01, n_iterations=2)
        for model in _models():
            network(kspace[None], sampling, csm[None], load_model(model, kspace.device))
    except (ValueError, RuntimeError) as error:  # no such model, a full GPU: scans that need it say so
        log.warning("warming up: %s", error)


def _models() -> list[str]:
    from gadgets.recon.kband_recon import KBandRecon
    from pipelines.chain.pipeline import Pipeline, installed_pipelines

    chains = (Pipeline.from_xml(path.read_bytes()).gadgets for path in installed_pipelines().values())
    return sorted({gadget.model for chain in chains for gadget in chain if isinstance(gadget, KBandRecon)})


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
