"""What worker and server say to each other beside the scan: on the control socket, and in texts on the scan's own."""

from __future__ import annotations

import base64
import dataclasses
import json

from gadgets.items import Aside
from gadgets.mrd import ismrmrd
from pipelines.chain.verdict import Seconds
from pipelines.hosts.events import Facts, Spent
from pipelines.protocol.framing import Id, Message
from pipelines.protocol.messages import text_message, text_of

READY, DONE = b"ready", b"done."
SCAN_ID_BYTES = 64
SIGN_OF_LIFE = text_message(Id.TEXT, "null")  # of a worker that waits for its turn


def told(what: Aside | Facts | Spent) -> Message:
    """Make the text by which a worker hands on what a gadget said aside, what the scan is, or how long it took."""
    if isinstance(what, Spent):
        return text_message(Id.TEXT, json.dumps({"spent": what.seconds}))
    if isinstance(what, Facts):
        return text_message(Id.TEXT, json.dumps({"facts": dataclasses.asdict(what)}))
    waveform = None if what.waveform is None else base64.b64encode(what.waveform.to_bytes()).decode()
    return text_message(Id.TEXT, json.dumps({"kind": what.kind, "text": what.sentence, "waveform": waveform}))


def heard(message: Message) -> Aside | Facts | Spent | None:
    """Read such a text; None if it is a mere sign of life."""
    said = json.loads(text_of(message))
    if said is None:
        return None
    if "spent" in said:
        return Spent({name: Seconds(*both) for name, both in said["spent"].items()})
    if "facts" in said:
        return Facts(**{**said["facts"], "matrix": tuple(said["facts"]["matrix"])})
    waveform = said["waveform"] and ismrmrd.Waveform.from_bytes(base64.b64decode(said["waveform"]))
    return Aside(said["kind"], said["text"], waveform)
