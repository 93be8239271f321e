"""One scan as a Gadgetron module: read it from a parent, run the chain, answer so that failures are heard."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from gadgets.errors import PipelineError, ScanError
from gadgets.items import ImageArray, ReconData
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from kband_core.plural import counted, plural
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.pump import pump
from pipelines.chain.run import run
from pipelines.chain.side_road import Hear, log_aside
from pipelines.chain.verdict import Verdict
from pipelines.hosts.events import Facts, Spent
from pipelines.protocol.framing import Gone, Id, Message, WireError
from pipelines.protocol.messages import (
    decode_image,
    decode_line,
    encode_image,
    encode_image_array,
    encode_line,
    text_message,
    text_of,
)
from pipelines.protocol.recon_data import decode_recon_data
from pipelines.protocol.wire import Wire

log = logging.getLogger(__name__)

READ_AHEAD = 64  # messages: enough to keep reading while a gadget computes, little enough to press back
FIRST_DATA = 1000  # message numbers below it steer the session


def log_facts(facts: Facts) -> None:
    """Write into the log that a scan begins."""
    log.info("scan begins: %s", facts)


def log_spent(spent: Spent) -> None:
    """Write into the log where the time went."""
    after = {name: round(both.after_last_line, 3) for name, both in spent.seconds.items()}
    log.info("seconds after the last line: %s", after)


def reconstruct(
    wire: Wire, config: str | bytes, header: str | bytes, *, began: Callable[[Facts], object] = log_facts,
    hear: Hear = log_aside, spent: Callable[[Spent], object] = log_spent,
    still_waiting: Callable[[], object] | None = None, counts_images: bool = True,
) -> str | None:  # fmt: skip
    """Run one scan over `wire`; configuration and header have been read. Return what went wrong, or None.

    Parents of Gadgetron 4.7 hear an ERROR only after they have sent CLOSE, and break when it comes earlier. So the
    chain stops computing, the input is read to its end, then ERROR is sent, if there is one; CLOSE is the caller's.
    Of several problems the first is said; a stream that cannot be read on is one. Texts are illegal from a module, so
    nothing that gadgets say aside is sent: `hear` gets it. `began` is called when header and chain have been read,
    `spent` when the last image has left, `still_waiting` now and then while the scan waits for its turn on a GPU.
    Unless it `counts_images`, incomplete ones are no problem if they are single: a server counts these itself. Raises
    `Gone` if the parent is.
    """
    messages = pump(_until_close(wire), READ_AHEAD)
    problem = None
    try:
        try:
            scan, pipeline = Scan.from_xml(header), Pipeline.from_xml(config)
            incomplete = _Incomplete(by_images=counts_images)
            began(Facts.of(scan, pipeline))
            items = _items(messages, wire, scan, pipeline.gadgets[0].accepts)
            verdict = Verdict()
            for item in run(pipeline, scan, items, verdict, hear=hear, still_waiting=still_waiting):
                wire.send(_encode(item))
                incomplete.count(item)
            spent(Spent(verdict.seconds))
            problem = incomplete.sentence()
        except (PipelineError, ScanError) as error:
            problem = str(error)
        except WireError:
            raise
        except Exception as error:
            log.exception("a gadget failed")
            problem = f"internal error, {type(error).__name__}: {error}"
        for _ in messages:  # by the thread that reads already: two readers would tear messages apart
            pass
    except Gone:
        if problem is not None:
            with suppress(WireError):  # it may have closed one way only
                _say(problem, wire)
        raise
    except WireError as error:  # the stream makes no sense any more, but the parent is there
        problem = problem or str(error)
        wire.drain()
    if problem is not None:
        _say(problem, wire)
    return problem


def read_start(wire: Wire) -> tuple[str, str]:
    """Read configuration and header, as a parent sends them. Raises `WireError` if anything else comes."""
    texts = []
    for wanted in (Id.CONFIG_TEXT, Id.HEADER):
        message = wire.read()
        if message.id != wanted:
            raise WireError(f"message {message.id} came, {int(wanted)} was expected first")
        texts.append(text_of(message))
    return texts[0], texts[1]


class _Incomplete:
    """Counts the images that lack lines: a parent hears of them in no other way than by an ERROR.

    `by_images`: whether single images go there, too; those of its clients a server counts.
    """

    def __init__(self, *, by_images: bool) -> None:
        self._n_images = self._n_incomplete = 0
        self._first: str | None = None
        self._by_images = by_images

    def count(self, item: Any) -> None:
        """Take what leaves the chain into account."""
        single = [item.meta] if self._by_images and isinstance(item, ismrmrd.Image) else []
        for meta in item.meta.flat if isinstance(item, ImageArray) else single:
            self._n_images += 1
            if meta.get("kband_complete") == "no":
                self._n_incomplete += 1
                self._first = self._first or meta.get("ImageComments")

    def sentence(self) -> str | None:
        """Say how many, and what the first says of itself; None if none lacks anything."""
        if not self._n_incomplete:
            return None
        verb = plural(self._n_incomplete, "is", "are")
        return f"{self._n_incomplete} of {counted(self._n_images, 'image')} {verb} incomplete ({self._first})"


def _say(problem: str, wire: Wire) -> None:
    log.error("%s", problem)
    wire.send(text_message(Id.ERROR, problem))


def _until_close(wire: Wire) -> Iterator[Message]:
    while (message := wire.read()).id != Id.CLOSE:
        yield message


def _items(messages: Iterator[Message], wire: Wire, scan: Scan, accepts: tuple[type, ...]) -> Iterator[Any]:
    """Yield the parent's messages as items; data that the chain does not accept go straight back.

    Texts and the like are dropped: from a module they are illegal.
    """
    decoders: dict[int, Callable[[Message], Iterator[Any]]] = {
        Id.ACQUISITION: lambda message: iter((decode_line(message),)),
        Id.RECON_DATA: lambda message: decode_recon_data(message, scan),
        Id.IMAGE: lambda message: iter((decode_image(message),)),
    }
    kinds = {Id.ACQUISITION: ismrmrd.Acquisition, Id.RECON_DATA: ReconData, Id.IMAGE: ismrmrd.Image}
    for message in messages:
        if kinds.get(message.id) in accepts:
            yield from decoders[message.id](message)
        elif message.id >= FIRST_DATA:
            wire.send(message)


def _encode(item: Any) -> Message:
    if isinstance(item, ismrmrd.Image):
        return encode_image(item)
    if isinstance(item, ImageArray):
        return encode_image_array(item)
    if isinstance(item, ismrmrd.Acquisition):
        return encode_line(item)
    raise PipelineError(f"the chain ends with {type(item).__name__}, which no message carries")
