"""What a worker makes, on its way to the peer: what the peer can read, counted and announced."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gadgets.items import Aside
from gadgets.mrd import ismrmrd
from pipelines.chain.verdict import Verdict
from pipelines.hosts.events import Event, Facts, ImageSent, Spent, Told
from pipelines.hosts.worker_protocol import heard
from pipelines.protocol.framing import Id, Message
from pipelines.protocol.voice import Voice


class Delivery:
    """Hands a worker's messages to the peer by `voice`. `begin` gets what the scan is.

    `images` is what each image says of itself; whoever reads the peer sets `last_line`, by the monotonic clock.
    """

    def __init__(
        self, scan_id: str, voice: Voice, announce: Callable[[Event], object], begin: Callable[[Facts], object]
    ) -> None:
        self.verdict = Verdict()
        self.images: list[dict[str, Any]] = []
        self.last_line: float | None = None
        self._scan_id, self._voice, self._announce, self._begin = scan_id, voice, announce, begin

    def __call__(self, message: Message) -> None:
        """Hand on a message, if it is one that the peer can read; hear its texts. Raises `PeerGone`."""
        if message.id == Id.TEXT:
            self._hear(heard(message))
        if not self._voice.dialect.takes(message.id):
            return
        self._voice.send(message)
        if message.id in (Id.IMAGE, Id.IMAGE_ARRAY):
            is_flawed = message.id == Id.IMAGE and self._count(message)
            self.verdict.n_images += message.id == Id.IMAGE_ARRAY
            if self.last_line is not None:
                self.verdict.latency = time.monotonic() - self.last_line
            self._announce(ImageSent(self._scan_id, is_flawed, message))

    def _hear(self, said: Aside | Facts | Spent | None) -> None:
        if isinstance(said, Aside):
            self._announce(Told(self._scan_id, said))
            self._voice.aside(said)
        elif isinstance(said, Spent):
            self.verdict.seconds = said.seconds
        elif said is not None:
            self._begin(said)

    def _count(self, message: Message) -> bool:
        """Take an image into account; whether something is wrong with it."""
        attributes = bytes(message.parts[2]).rstrip(b"\0").decode(errors="replace")
        image = ismrmrd.Image(bytes(message.parts[0]), attributes)
        is_flawed = self.verdict.count(image)
        wanted = ("kband_method", "kband_lines", "kband_complete", "kband_fallback", "kband_nmse_estimate")
        self.images.append({"slice": image.slice, **{name: image.meta.get(name) for name in wanted}})
        if is_flawed:
            self._voice.remark("WARNING", f"slice {image.slice}: {image.meta.get('ImageComments')}")
        return is_flawed
