"""A server that behaves as a test wants it to, for one connection."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator

import ismrmrd
import numpy as np

from gadgets.errors import ScanError
from pipelines.chain.verdict import Verdict
from pipelines.hosts.client import Client, Target
from pipelines.protocol.framing import Id, Message
from pipelines.protocol.wire import Wire
from tests.pipelines.mrd_samples import line
from tests.streaming import bytes_by_hand as by_hand

IMAGE = by_hand.image(np.arange(12, dtype="<f4").reshape(1, 1, 3, 4), 5)
N_LINES = 20
LONG_SCAN = 3000  # lines of 1 MB: no socket's buffer holds them


@contextlib.contextmanager
def peer(behave: Callable[[Wire], None], **options) -> Iterator[Target]:
    """Stand in for a server that serves one connection as `behave` does, and hangs up."""
    listener = socket.create_server(("localhost", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        connection.settimeout(20)
        with connection, contextlib.suppress(OSError):
            behave(Wire(connection))
            connection.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener:
        yield Target("localhost", listener.getsockname()[1], **{"name": "sense", "patience": 10.0, **options})
        thread.join(20)
        assert not thread.is_alive()


def outcome(
    target: Target, lines: Iterable[ismrmrd.Acquisition] | None = None
) -> tuple[int, str | None, Verdict, list[str]]:
    """Send a scan; return how many images came, the sentence, the verdict, and the texts."""
    verdict, heard, images, problem = Verdict(), [], [], None
    lines = map(line, range(N_LINES)) if lines is None else lines
    try:
        for image in Client(target, heard.append).run("<ismrmrdHeader/>", lines, verdict):
            images.append(image)
    except ScanError as error:
        problem = str(error)
    assert verdict.n_images == len(images)
    assert (verdict.latency is not None) == bool(images)
    return len(images), problem, verdict, heard


def to_close(wire: Wire) -> list[Message]:
    """Read the whole scan."""
    messages = [wire.read()]
    while messages[-1].id != Id.CLOSE:
        messages.append(wire.read())
    return messages


def answer(*pieces: bytes, reads: bool = True) -> Callable[[Wire], None]:
    """Make a server that sends these bytes, behind the client's CLOSE or at once."""

    def behave(wire: Wire) -> None:
        if reads:
            to_close(wire)
        wire.socket.sendall(b"".join(pieces))
        if not reads:
            to_close(wire)

    return behave


def heavy_lines(taken: list[int], most: int = LONG_SCAN) -> Iterator[ismrmrd.Acquisition]:
    """Yield lines of 1 MB; `taken` counts them."""
    heavy = ismrmrd.Acquisition.from_array(np.zeros((16, 8192), np.complex64))
    for _ in range(most):
        taken.append(1)
        yield heavy
