"""The place of a chain that is not chosen yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gadgets.gadget import Gadget
from gadgets.mrd import ismrmrd


@dataclass
class ChosenPipeline(Gadget):
    """Stands alone in `auto.xml`; `run` puts in its place the gadgets of the pipeline that the scan is for."""

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Image,)
