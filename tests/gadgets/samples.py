"""Sample items of every kind, made as a scan makes them: by the gadgets themselves, of the lines of one head."""

from __future__ import annotations

from typing import Any

import ismrmrd

from gadgets.gadget import gadget_class
from gadgets.items import Aside, Calibration
from gadgets.scan import Scan


def samples_of(scan: Scan, lines: list[ismrmrd.Acquisition]) -> list[Any]:
    """Return the lines and what becomes of them, each kind in its own order; buffers have maps already."""

    def through(name: str, items: list[Any]) -> list[Any]:
        gadget = gadget_class(name)()
        gadget.open(scan)
        return [item for item in gadget.process(iter(items)) if not isinstance(item, Aside)]

    buckets = through("AcquisitionAccumulateTrigger", lines)
    buffers = through("CoilSensitivities", through("AcquisitionBuffer", lines))
    arrays = through("SenseRecon", buffers)
    data = through("BucketToBuffer", buckets)
    return [*lines, *buckets, *data, *buffers, *arrays, *through("ImageArraySplit", arrays)]


def echo_samples_of(scan: Scan, lines: list[ismrmrd.Acquisition]) -> list[Any]:
    """Return the images of all echoes of a slice, and the echoes gathered."""
    items = iter(lines)
    for name in ("AcquisitionBuffer", "CoilSensitivities", "SharedPhase", "SenseRecon", "GatheredEchoes"):
        gadget = gadget_class(name)()
        gadget.open(scan)
        items = gadget.process(items)
    return list(items)


def radial_samples_of(scan: Scan, lines: list[ismrmrd.Acquisition]) -> list[Any]:
    """Return radial lines, the calibration that a gadget for trajectories may meet, and buffers with maps."""
    buffer = gadget_class("TrajectoryBuffer")()
    buffer.open(scan)
    buffers = list(gadget_class("CoilSensitivities")().process(buffer.process(iter(lines))))
    calibrations = [Calibration(one.acs[0], (64, 64), one.encoding, 0) for one in buffers]
    return [*lines, *calibrations, *buffers]


def multiband_samples_of(scan: Scan, lines: list[ismrmrd.Acquisition]) -> list[Any]:
    """Return lines of slices that were excited at once, their calibration, and buffers with maps."""
    buffer = gadget_class("MultibandBuffer")()
    buffer.open(scan)
    return [*lines, *gadget_class("CoilSensitivities")().process(buffer.process(iter(lines)))]
