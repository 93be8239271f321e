"""What an image is called outside MRD, so that nobody takes it for another."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from gadgets.mrd import ismrmrd
from gadgets.scan import Scan

PARTS = {ismrmrd.IMTYPE_MAGNITUDE: "MAGNITUDE", ismrmrd.IMTYPE_PHASE: "PHASE", ismrmrd.IMTYPE_REAL: "REAL",
         ismrmrd.IMTYPE_IMAG: "IMAGINARY", ismrmrd.IMTYPE_COMPLEX: "COMPLEX"}  # fmt: skip
LONGEST = 64  # characters of a series description in DICOM
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True, order=True)
class Label:
    """A series as it is shown: images of one number and description; `channel` from 0.

    `part` of the complex image: one of `PARTS`, or QUANTITY.
    """

    number: int
    description: str
    part: str
    channel: int

    @property
    def file_name(self) -> str:
        """A name that no file system minds."""
        name = f"series_{self.number}_{NOT_IN_A_NAME.sub('_', self.description).strip('_')}"
        return name + ("" if self.part in ("MAGNITUDE", "QUANTITY") else f"_{self.part.lower()}")


def labels(image: ismrmrd.Image, protocol: str) -> list[Label]:
    """Label the channels of an image, by its header and meta.

    What is wrong with an image is in its label: images that lack lines, or whose lines contradict one another, are a
    series apart; the fallback is in the method's suffix. Raises `ValueError` for colours.
    """
    part, meta = PARTS.get(image.image_type or ismrmrd.IMTYPE_MAGNITUDE), image.meta
    part = "QUANTITY" if is_quantity(image) else part
    if part is None:
        raise ValueError(f"image type {image.image_type}, 1 (magnitude) to 5 (complex) expected")
    marks = "".join(f"_{mark}" for mark in marks_of(meta))
    made = text_of(meta, "SequenceDescriptionAdditional") or text_of(meta, "GADGETRON_SeqDescription")
    n_channels, found = image.data.shape[0], []
    for channel in range(n_channels):
        suffix = f"{made}{marks}" + (f"_channel{channel + 1}" if n_channels > 1 else "")
        description = (protocol[: max(LONGEST - len(suffix), 0)] + suffix)[:LONGEST].strip("_")
        found.append(Label(image.image_series_index, description, part, channel))
    return found


def marks_of(meta: ismrmrd.Meta) -> list[str]:
    """What is wrong with an image, in the words of its comment, but for FALLBACK, which is said with its method."""
    marks = ["INCOMPLETE"] if text_of(meta, "kband_complete") == "no" else []
    return marks + (["INCONSISTENT"] if text_of(meta, "kband_consistency") not in ("", "good", "unknown") else [])


def is_quantity(image: ismrmrd.Image) -> bool:
    """Whether the image is a map of something that has a unit."""
    return "kband_quantity" in image.meta


def text_of(meta: ismrmrd.Meta, key: str) -> str:
    """One text of the meta, whose values may be lists; '' if it is not there."""
    value = meta.get(key, "")
    return " ".join(value) if isinstance(value, list) else str(value)


def real_pixels(image: ismrmrd.Image, channel: int) -> np.ndarray:
    """Pixels `(z, y, x)` of one channel in the unit that the meta's rescaling gives them, float32."""
    slope, intercept = (float(text_of(image.meta, key) or neutral) for key, neutral in
                        (("RescaleSlope", 1), ("RescaleIntercept", 0)))  # fmt: skip
    return (image.data[channel] * slope + intercept).astype(np.float32)


def protocol_of(scan: Scan) -> str:
    """The name under which the scan was set up; "kband" where the header has none."""
    measurement = scan.header.measurementInformation
    return (measurement and (measurement.protocolName or measurement.seriesDescription)) or "kband"
