"""Image headers and meta attributes from acquisition headers, in MRD's, FIRE's and Gadgetron's words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gadgets.encoding import Encoding
from gadgets.errors import ScanError
from gadgets.images.series import image_series
from gadgets.line_count import LineCount
from gadgets.mrd import ismrmrd
from gadgets.mrd_header import COUNTERS
from gadgets.receiving.image_lines import ImageKey

LONGEST_SUFFIX = 32  # characters of a method's label: a series description in DICOM has 64 for all
NOT_IN_A_SUFFIX = re.compile(r"[^A-Za-z0-9_-]+")

COPIED = (
    "measurement_uid", "position", "read_dir", "phase_dir", "slice_dir", "patient_table_position",
    "acquisition_time_stamp", "physiology_time_stamp", "user_int", "user_float",
)  # fmt: skip


def image_header(
    line: ismrmrd.AcquisitionHeader, encoding: Encoding, *, image_index: int, is_fallback: bool
) -> ismrmrd.ImageHeader:
    """Describe the image of one k-space from the header of its line nearest the centre.

    `position` is the centre of the slice in mm, LPS; `field_of_view` in mm is that of the recon space.
    """
    header = ismrmrd.ImageHeader()
    header.version = 1
    for name in COPIED:
        setattr(header, name, getattr(line, name))
    for name in COUNTERS:
        setattr(header, name, getattr(line.idx, name))
    header.data_type = ismrmrd.DATATYPE_CXFLOAT
    header.channels = 1
    header.matrix_size = encoding.recon_matrix
    header.field_of_view = encoding.recon_fov
    header.image_type = ismrmrd.IMTYPE_MAGNITUDE
    header.image_index = image_index
    header.image_series_index = image_series(encoding.index, is_fallback=is_fallback)
    return header


def image_meta(
    header: ismrmrd.ImageHeader, *, method: str, fallback: str | None, count: LineCount, problems: tuple[str, ...],
    notes: Mapping[str, str],
) -> ismrmrd.Meta:  # fmt: skip
    """Say how the image was made and what is wrong with it, so that no viewer can take it for another.

    `method`: what made these pixels; `fallback`: why it is not what was asked for, or None; `notes`: what else the
    method has to say, by meta key, that of `ImageComments` at the end of the comment.
    """
    complete = {None: "unknown", True: "yes", False: "no"}[count.complete]
    remarks = [f"FALLBACK {method}: {fallback}" if fallback else method]
    remarks += [f"INCOMPLETE {count} lines"] if complete == "no" else []
    remarks += [problem for problem in problems if problem != fallback]
    comment = "; ".join([*remarks, *(text for key, text in notes.items() if key == "ImageComments")])
    suffix = f"_{_short(method)}_FALLBACK" if fallback else f"_{_short(method)}"
    meta = ismrmrd.Meta()
    meta["DataRole"] = meta["GADGETRON_DataRole"] = "Image"
    meta["ImageProcessingHistory"] = meta["GADGETRON_ImageProcessingHistory"] = ["kband", method]
    meta["ImageComments"] = meta["GADGETRON_ImageComment"] = comment
    meta["SequenceDescriptionAdditional"] = meta["GADGETRON_SeqDescription"] = suffix
    meta["Keep_image_geometry"] = "1"
    meta["ImageRowDir"] = [f"{value:.8f}" for value in header.read_dir]
    meta["ImageColumnDir"] = [f"{value:.8f}" for value in header.phase_dir]
    meta["kband_method"] = method
    meta["kband_fallback"] = fallback or "no"
    meta["kband_lines"] = str(count)
    meta["kband_complete"] = complete
    for key, text in notes.items():
        if key != "ImageComments":
            meta[key] = text
    return meta


def _short(method: str) -> str:
    """Cut a label to what comes before its first comma, in characters that no archive minds."""
    return NOT_IN_A_SUFFIX.sub("_", method.partition(",")[0])[:LONGEST_SUFFIX]


class ImageNumbers:
    """Image numbers, unique from 1: by slice, contrast, phase, set and repetition where the header bounds them all."""

    def __init__(self) -> None:
        self._given: dict[ImageKey, int] = {}

    def number(self, line: ismrmrd.AcquisitionHeader, encoding: Encoding) -> int:
        """Number the image of a line. Raises `ScanError` beyond 65,535, which the image header cannot hold."""
        key = ImageKey.of(line)
        limits = [encoding.counters[name] for name in ImageKey._fields[1:]]
        if all(limits):
            index, stride = 1, 1
            for value, limit in zip(key[1:], limits, strict=True):
                index, stride = index + stride * (value - limit.minimum), stride * len(limit)
        else:
            index = self._given.setdefault(key, len(self._given) + 1)
        if index > 65535:
            raise ScanError(f"image number {index} does not fit the image header, which ends at 65535")
        return index
