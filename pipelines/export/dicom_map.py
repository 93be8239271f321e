"""Maps of quantities as DICOM Parametric Maps, with their unit, referring to the images they tell of."""

from __future__ import annotations

import importlib.metadata

import highdicom
import numpy as np
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from gadgets.mrd import ismrmrd
from pipelines.export.dicom_image import ImageWriter
from pipelines.export.label import Label, real_pixels, text_of
from pipelines.export.study import identifier

NO_UNITS = Code("1", "UCUM", "no units")
MEANINGS = {"%": "percent", "/s": "per second", "Hz": "hertz"}  # of units, by their code in UCUM
BODY_PART = ("BodyPartExamined", "Laterality")  # one of them must be there, and is not taken from the planes
LARGEST = 1e6  # of what a map may hold: its mapping names a range


def parametric_map(image: ismrmrd.Image, label: Label, planes: list[Dataset], writer: ImageWriter) -> Dataset:
    """Make the map of one image from its `planes`, as written by `ImageWriter`; pixels are float32 in their unit.

    Raises `ValueError` if there are none, or another number of them.
    """
    values = real_pixels(image, label.channel)
    if len(planes) != len(values):
        raise ValueError(f"a map of {len(values)} planes, whose image has {len(planes)}")
    series = writer.series_uid(label)
    instance = identifier("map", series, str(image.image_index), image.attribute_string, values.tobytes().hex())
    quantity = text_of(image.meta, "kband_quantity")
    made = ParametricMap(
        planes,
        values,
        series_instance_uid=series,
        series_number=label.number,
        sop_instance_uid=instance,
        instance_number=max(image.image_index, 1),
        manufacturer="kband",
        manufacturer_model_name="kband",
        software_versions=importlib.metadata.version("kband"),
        device_serial_number="none",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(quantity, text_of(image.meta, "RescaleType"))],
        voi_lut_transformations=[_window(values)],
        content_label="MAP",
        content_description=f"{quantity} of {text_of(image.meta, 'kband_method')}"[:64],
    )
    made.SeriesDescription = label.description
    for keyword in BODY_PART:
        if keyword in planes[0]:
            setattr(made, keyword, planes[0][keyword].value)
    made.ImageComments = text_of(image.meta, "ImageComments")[:10240]
    return made


def _window(values: np.ndarray) -> highdicom.VOILUTTransformation:
    lowest, highest = float(values.min()), float(values.max())
    return highdicom.VOILUTTransformation((lowest + highest) / 2, max(highest - lowest, 1e-6))


def _mapping(quantity: str, unit: str) -> RealWorldValueMapping:
    code = Code(unit, "UCUM", MEANINGS.get(unit, unit)) if unit else NO_UNITS
    return RealWorldValueMapping(
        lut_label=quantity[:16].upper(), lut_explanation=quantity, unit=highdicom.sr.CodedConcept.from_code(code),
        value_range=(-LARGEST, LARGEST), slope=1.0, intercept=0.0,
    )  # fmt: skip
