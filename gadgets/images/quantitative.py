"""Maps of quantities beside the images: their own series, pixels with a unit, the scale in the meta."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from gadgets.images.series import QUANTITIES
from gadgets.items import ImageArray
from gadgets.mrd import ismrmrd

OFFSET = 2048.0  # what FloatToUShortGadget adds to real images, whose scale it leaves alone


@dataclass(frozen=True)
class Quantity:
    """What a map shows, one of `series.QUANTITIES` by its name. `scale`: pixel steps per unit; `unit`: that of UCUM."""

    name: str
    scale: float
    unit: str = ""


WATER, FAT = Quantity("water", scale=1.0), Quantity("fat", scale=1.0)  # in units of the noise of k-space, if whitened
PDFF, SD_PDFF = Quantity("PDFF", scale=20.0, unit="%"), Quantity("SD of PDFF", scale=40.0, unit="%")
R2STAR, SD_R2STAR = Quantity("R2*", scale=2.0, unit="/s"), Quantity("SD of R2*", scale=5.0, unit="/s")
B0, SD_B0 = Quantity("B0", scale=2.0, unit="Hz"), Quantity("SD of B0", scale=10.0, unit="Hz")
UNSURE = Quantity("unsure", scale=1000.0)
GFACTOR = Quantity("g-factor", scale=100.0)
EXPECTED_ERROR = Quantity("expected error", scale=100.0, unit="%")  # of the brightness, 95 % of the pixels are below
SNR = Quantity("SNR", scale=10.0)


def quantity_array(images: ImageArray, quantity: Quantity, values: Tensor) -> ImageArray:
    """Put real maps `values` `(slice, s, n, z, y, x)` beside the images they belong to.

    They leave as real images: AutoScale does not touch those, and FloatToUShort only adds its offset. So a pixel p of
    the final image means p·RescaleSlope + RescaleIntercept, which the meta holds.
    """
    headers, meta = np.empty(images.headers.shape, object), np.empty(images.meta.shape, object)
    for index, header in np.ndenumerate(images.headers):
        headers[index] = copy.deepcopy(header)
        headers[index].image_type = ismrmrd.IMTYPE_REAL
        headers[index].image_series_index = header.image_series_index + QUANTITIES[quantity.name]
        meta[index] = _meta(images.meta[index], quantity)
    return ImageArray((values * quantity.scale).to(images.data.dtype).unsqueeze(-4), headers, meta)


def _meta(of_image: ismrmrd.Meta, quantity: Quantity) -> ismrmrd.Meta:
    meta = ismrmrd.Meta(of_image)
    name = f"{quantity.name} of {of_image['kband_method']}"
    meta["DataRole"] = meta["GADGETRON_DataRole"] = "Quantitative"
    meta["ImageComments"] = meta["GADGETRON_ImageComment"] = f"{name}; image: {of_image['ImageComments']}"
    suffix = of_image["SequenceDescriptionAdditional"] + f"_{quantity.name}"
    meta["SequenceDescriptionAdditional"] = meta["GADGETRON_SeqDescription"] = suffix
    meta["RescaleSlope"] = f"{1 / quantity.scale:g}"
    meta["RescaleIntercept"] = f"{-OFFSET / quantity.scale:g}"
    meta["GADGETRON_ScaleRatio"] = f"{quantity.scale:g}"
    meta["kband_quantity"] = quantity.name
    if quantity.unit:
        meta["RescaleType"] = quantity.unit
    return meta
