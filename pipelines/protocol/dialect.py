"""Who is at the other end, and what may be said to it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from gadgets.items import Aside
from pipelines.protocol.framing import Id, Message
from pipelines.protocol.messages import encode_waveform, text_message

DATA = (Id.ACQUISITION, Id.WAVEFORM, Id.IMAGE, Id.IMAGE_ARRAY, Id.RECON_DATA)


@dataclass(frozen=True)
class Dialect:
    """How a peer speaks MRD: the habits of Gadgetron as our parent, of its clients, and of FIRE clients.

    `is_parent`: Gadgetron, of whose `<external>` node we are the module. It takes no text, breaks on an ERROR that
    comes before its own CLOSE, and wants what we do not use back. Clients know no ERROR: they are told by a text.
    `nul`: a FIRE client, which ends texts, but not image attributes, with a NUL.
    """

    is_parent: bool = False
    nul: bool = False

    @property
    def name(self) -> str:
        """What the log calls it."""
        return "parent" if self.is_parent else "fire" if self.nul else "gadgetron"

    @property
    def no_feedback(self) -> str | None:
        """Why the peer can hear no feedback, or None: FIRE clients read waveforms, all others break."""
        if self.nul and not self.is_parent:
            return None
        return (
            f"ActiveAcquisition.feedback is scanner, but a {self.name} breaks on waveforms: speak FIRE, or let the "
            "server's operator name a host by kband serve --decisions"
        )

    def heard(self, message: Message) -> Dialect:
        """Learn from a text message how the peer ends its texts."""
        is_text = message.id in (Id.CONFIG_TEXT, Id.HEADER, Id.TEXT)
        return replace(self, nul=True) if is_text and bytes(message.parts[-1][-1:]) == b"\0" else self

    def takes(self, number: int) -> bool:
        """Whether the peer reads messages of this number; others break it."""
        return number in DATA if self.is_parent else number == Id.IMAGE

    def remark(self, level: str, sentence: str) -> Message | None:
        """Make a text, its level padded to the eight characters that FIRE expects; a parent may hear none."""
        return None if self.is_parent else text_message(Id.TEXT, f"{level:<8}{sentence}", nul=self.nul)

    def aside(self, aside: Aside) -> list[Message]:
        """Say what a gadget says aside: to a parent nothing, else by a text; FIRE clients also get its waveform.

        Decisions are the host's.
        """
        if aside.kind == "decision":
            return []
        text = self.remark(aside.level, aside.sentence)
        waveform = None if aside.waveform is None or self.no_feedback else encode_waveform(aside.waveform)
        return [] if text is None else [text] if waveform is None else [text, waveform]

    def image(self, message: Message) -> Message:
        """End the attributes of an image as the peer expects."""
        head, _, attributes, pixels = message.parts
        text = bytes(attributes).rstrip(b"\0") + b"\0" * (not self.nul)
        head = bytes(head[:-4]) + struct.pack("<I", len(text))  # the header repeats the length
        return Message(Id.IMAGE, (head, struct.pack("<Q", len(text)), text, pixels))
