"""Python twins of Gadgetron's own gadgets: same names, same properties."""

from gadgets.stock.accumulate import AcquisitionAccumulateTrigger
from gadgets.stock.asymmetric_echo import AsymmetricEchoAdjustRO
from gadgets.stock.buffer import BucketToBuffer
from gadgets.stock.complex_to_float import ComplexToFloat
from gadgets.stock.extract import Extract
from gadgets.stock.fixed_point import FloatToUShort
from gadgets.stock.image_finish import ImageFinish
from gadgets.stock.image_split import ImageArraySplit
from gadgets.stock.noise_adjust import NoiseAdjust
from gadgets.stock.remove_oversampling import RemoveROOversampling
from gadgets.stock.scaling import AutoScale

__all__ = [
    "AcquisitionAccumulateTrigger",
    "AsymmetricEchoAdjustRO",
    "AutoScale",
    "BucketToBuffer",
    "ComplexToFloat",
    "Extract",
    "FloatToUShort",
    "ImageArraySplit",
    "ImageFinish",
    "NoiseAdjust",
    "RemoveROOversampling",
]
