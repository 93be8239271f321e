"""Inside Gadgetron: what `<execute name="pipelines.hosts" target="external" type="python"/>` calls."""

from __future__ import annotations

import logging

from gadgetron.external import Connection

from pipelines.hosts.module import reconstruct
from pipelines.protocol.framing import WireError
from pipelines.protocol.wire import Wire

log = logging.getLogger(__name__)


def run_module(connection: Connection) -> None:
    """Run the chain of our `<external>` node for one scan. Gadgetron's library sends the closing CLOSE.

    Only configuration and header are taken from the library; from then on its socket is read by our own reader,
    because the library's never notices that its parent has gone.
    """
    wire = Wire(connection.socket.socket)
    try:
        reconstruct(wire, connection.raw_bytes.config, connection.raw_bytes.header)
    except WireError as error:
        log.error("the parent is gone: %s", error)
        raise
