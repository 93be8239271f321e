"""MRD messages to items and back."""

from __future__ import annotations

import struct

import numpy as np

from gadgets.errors import ScanError
from gadgets.items import ImageArray
from gadgets.mrd import ismrmrd
from pipelines.protocol.framing import Id, Message
from pipelines.protocol.layouts import PIXELS


def text_message(number: Id, text: str | bytes, *, nul: bool = False) -> Message:
    """Make a message of a text: configuration, header, text or error. `nul`: with the NUL that FIRE clients expect."""
    body = (text.encode() if isinstance(text, str) else text) + b"\0" * nul
    form = "<Q" if number is Id.ERROR else "<I"
    return Message(number, (struct.pack(form, len(body)), body))


def text_of(message: Message) -> str:
    """Read the text of such a message, up to its first NUL; of a configuration name likewise."""
    body = message.parts[-1]
    return bytes(body).split(b"\0", 1)[0].decode(errors="replace")


def decode_line(message: Message) -> ismrmrd.Acquisition:
    """Read an acquisition; samples and trajectory are views of the message."""
    head, rest = message.parts
    header = ismrmrd.AcquisitionHeader.from_buffer_copy(head)
    samples, dimensions = header.number_of_samples, header.trajectory_dimensions
    trajectory = np.ndarray((samples, dimensions), np.float32, rest)
    data = np.ndarray((header.active_channels, samples), np.complex64, rest, offset=trajectory.nbytes)
    return ismrmrd.Acquisition(header, data, trajectory)


def encode_line(line: ismrmrd.Acquisition) -> Message:
    """Write an acquisition."""
    return Message(Id.ACQUISITION, (bytes(line.getHead()), line.traj.tobytes() + line.data.tobytes()))


def encode_waveform(waveform: ismrmrd.Waveform) -> Message:
    """Write a waveform."""
    return Message(Id.WAVEFORM, (bytes(waveform.getHead()), waveform.data.tobytes()))


def decode_waveform(message: Message) -> ismrmrd.Waveform:
    """Read a waveform."""
    return ismrmrd.Waveform.from_bytes(b"".join(map(bytes, message.parts)))


def decode_image(message: Message) -> ismrmrd.Image:
    """Read an image. Raises `ScanError` if its attributes are not MRD meta attributes."""
    head, _, attributes, pixels = message.parts
    text = bytes(attributes).split(b"\0", 1)[0].decode(errors="replace")
    try:
        image = ismrmrd.Image(bytes(head), text)
    except (SyntaxError, AssertionError) as error:  # of the XML, and of the library that reads it
        raise ScanError(f"an image has attributes that are no ismrmrdMeta document: {text[:80]!r}") from error
    image.data[:] = np.frombuffer(pixels, PIXELS[image.data_type]).reshape(image.data.shape)
    return image


def encode_image(image: ismrmrd.Image, *, nul: bool = True) -> Message:
    """Write an image; `nul`: the attributes end with the NUL that Gadgetron expects and FIRE does not."""
    attributes = image.attribute_string.encode() + b"\0" * nul
    header = ismrmrd.ImageHeader.from_buffer_copy(bytes(image.getHead()))
    header.attribute_string_len = len(attributes)
    pixels = image.data.astype(PIXELS[header.data_type], copy=False)  # the library keeps int32 pixels in 64 bits
    return Message(Id.IMAGE, (bytes(header), struct.pack("<Q", len(attributes)), attributes, pixels.tobytes()))


def encode_image_array(array: ImageArray) -> Message:
    """Write an image array; Gadgetron reads its axes reversed, [X Y Z CHA N S LOC], in Fortran order."""
    slices, s, n = array.headers.shape
    data = np.ascontiguousarray(array.data.numpy().astype(np.complex64, copy=False))
    headers = b"".join(bytes(header) for header in array.headers.flat)
    texts = [meta.serialize().encode("ascii", "xmlcharrefreplace") for meta in array.meta.flat]
    meta = [piece for text in texts for piece in (struct.pack("<Q", len(text)), text)]
    return Message(
        Id.IMAGE_ARRAY,
        (
            struct.pack("<8Q", 7, *reversed(data.shape)),
            data.tobytes(),
            struct.pack("<4Q", 3, n, s, slices),
            headers,
            struct.pack("<Q", len(texts)),
            *meta,
            b"\0\0",  # no waveforms, no acquisition headers
        ),
    )
