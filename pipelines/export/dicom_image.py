"""DICOM datasets from MRD images: MR Image Storage, one plane each."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from datetime import datetime, timezone

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from gadgets.images.patient_affine import patient_affine
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from pipelines.export.label import Label, text_of
from pipelines.export.study import identifier, sequence_attributes, study_attributes

BRIGHT = 99.5  # percentile of an image's pixels at the upper end of its window, where its meta has none
LONGEST_TEXT = 10240  # of image comments
STEPS = 65535
SERIES_TYPES = {"PHASE": "PHASE MAP"}  # third value of the image type; others have no word of their own
PROCESSING_EQUIPMENT = "109102"


class ImageWriter:
    """Makes the datasets of one scan. `made_by`: the pipeline and its properties, which series are told apart by."""

    def __init__(self, scan: Scan, made_by: str) -> None:
        self._scan, self._made_by, self._common = scan, made_by, study_attributes(scan)
        self.contribution = _contribution()

    def datasets(self, image: ismrmrd.Image, label: Label) -> Iterator[Dataset]:
        """Yield the planes of one channel. Raises `ValueError` if no header tells where they lie.

        Instances of a series are numbered by image number, then partition.
        """
        affine, pixels = patient_affine(image.getHead()), image.data[label.channel]
        stored, slope, intercept = _stored(pixels)
        for z, plane in enumerate(stored):
            number = (image.image_index - 1) * len(stored) + z + 1 if image.image_index else z + 1
            made = self._described(image, label, number, plane)
            _place(made, affine, z, image)
            _fill(made, plane, slope, intercept, image.meta)
            yield made

    def series_uid(self, label: Label) -> str:
        """The same images made by the same pipeline are the same series, whenever they are made."""
        texts = self._scan.xml, self._made_by, str(label.number), label.description, label.part
        return identifier("series", *texts)

    def _described(self, image: ismrmrd.Image, label: Label, number: int, plane: np.ndarray) -> Dataset:
        made = Dataset()
        made.update(self._common)
        made.update(sequence_attributes(self._scan, image.contrast))
        made.SpecificCharacterSet = "ISO_IR 192"
        made.SOPClassUID, made.Modality = MRImageStorage, "MR"
        made.SeriesInstanceUID = self.series_uid(label)
        made.SOPInstanceUID = identifier(
            "image", made.SeriesInstanceUID, str(number), image.attribute_string, plane.tobytes().hex()
        )
        made.SeriesNumber, made.InstanceNumber, made.AcquisitionNumber = label.number, number, image.repetition + 1
        made.SeriesDescription = label.description
        made.ImageType = ["ORIGINAL", "PRIMARY", SERIES_TYPES.get(label.part, "OTHER")]
        made.ImageComments = text_of(image.meta, "ImageComments")[:LONGEST_TEXT]
        now = datetime.now(timezone.utc).astimezone()
        made.InstanceCreationDate = made.ContentDate = f"{now:%Y%m%d}"
        made.InstanceCreationTime = made.ContentTime = f"{now:%H%M%S.%f}"
        made.ContributingEquipmentSequence = [_with_method(self.contribution, image.meta)]
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
        made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
        return made


def _place(made: Dataset, affine: np.ndarray, z: int, image: ismrmrd.Image) -> None:
    """Where the plane lies: DICOM's position is the centre of the first pixel, its spacing that of rows comes first."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    made.ImagePositionPatient = _numbers(affine @ (0, 0, z, 1))[:3]
    made.ImageOrientationPatient = _numbers((affine[:3, :2] / spacing[:2]).T.ravel())
    made.PixelSpacing = _numbers(spacing[[1, 0]])
    made.SliceThickness = _numbers(spacing[2:])[0]
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    made.SliceLocation = _numbers([float(normal / np.linalg.norm(normal) @ (affine @ (0, 0, z, 1))[:3])])[0]
    if image.data.shape[1] > 1:
        made.SpacingBetweenSlices = made.SliceThickness


def _fill(made: Dataset, plane: np.ndarray, slope: float, intercept: float, meta: ismrmrd.Meta) -> None:
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = plane.shape
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation = 15, int(plane.dtype.kind == "i")
    if (slope, intercept) != (1.0, 0.0):
        made.RescaleSlope, made.RescaleIntercept, made.RescaleType = *_numbers([slope, intercept]), "US"
    centre, width = (text_of(meta, key) for key in ("WindowCenter", "WindowWidth"))
    if not (centre and width):
        bright = max(float(np.percentile(plane, BRIGHT)) * slope + intercept, 1e-6)
        dark = min(float(plane.min()) * slope + intercept, 0.0)
        centre, width = (dark + bright) / 2, bright - dark
    made.WindowCenter, made.WindowWidth = _numbers([float(centre), max(float(width), 1e-6)])
    made.add_new("PixelData", "OW", np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")).tobytes())


def _stored(pixels: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Integers of 16 bits, and what a step and zero of them mean; others are stretched over that range."""
    if pixels.dtype.kind in "ui" and pixels.dtype.itemsize <= 2:
        return pixels.astype(np.uint16 if pixels.dtype.kind == "u" else np.int16), 1.0, 0.0
    values = pixels.astype(np.float64)
    if not np.all(np.isfinite(values)):
        raise ValueError("pixels that are not finite")
    lowest, span = float(values.min()), float(np.ptp(values))
    slope = float(format_number_as_ds(span / STEPS)) if span else 1.0
    return np.clip(np.rint((values - lowest) / slope), 0, STEPS).astype(np.uint16), slope, lowest


def _contribution() -> Dataset:
    """Who made the image out of raw data (Contributing Equipment, PS3.3 C.12.1)."""
    purpose, made = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = PROCESSING_EQUIPMENT, "DCM"
    purpose.CodeMeaning = "Processing Equipment"
    made.PurposeOfReferenceCodeSequence = [purpose]
    made.Manufacturer = made.ManufacturerModelName = "kband"
    made.SoftwareVersions = importlib.metadata.version("kband")
    return made


def _with_method(contribution: Dataset, meta: ismrmrd.Meta) -> Dataset:
    made = Dataset()
    made.update(contribution)
    names = (
        "kband_method", "kband_fallback", "kband_model", "kband_model_sha256", "kband_denoising",
        "kband_self_ensemble", "kband_lines", "kband_consistency",
    )  # fmt: skip
    said = [f"{name.removeprefix('kband_')} {text_of(meta, name)}" for name in names if name in meta]
    made.ContributionDescription = "; ".join(said)[:1024]
    return made


def _numbers(values: np.ndarray | list[float]) -> list[str]:
    """Decimal strings of at most 16 characters."""
    return [format_number_as_ds(float(value)) for value in values]
