"""How the lines of an EPI encoding are read, as the header describes it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gadgets import flags
from gadgets.encoding import Encoding
from gadgets.epi.shots import Echo
from gadgets.errors import ScanError
from gadgets.mrd import ismrmrd
from gadgets.mrd_header import LARGEST_MATRIX, number
from gadgets.scan import Scan
from kband_core.epi.readout import Trapezoid
from kband_core.epi.regridding import regridding_operator
from kband_core.threads import single_thread

log = logging.getLogger(__name__)

CONVENTIONAL = "ConventionalEPI"
UNKNOWN = f"EPI without a {CONVENTIONAL} description: ramp sampling unknown"
RAMPS = ("rampUpTime", "flatTopTime", "rampDownTime")


@dataclass(frozen=True)
class EpiReadout:
    """What turns a line of `n_samples` into pixels along x: `operator` complex64 `(pixel, sample)`, or `reverse`, if it
    was read the other way, at the negative of each k.

    `n_navigators` of each train, or None where the header does not say.
    """

    n_samples: int
    operator: Tensor
    reverse: Tensor
    n_navigators: int | None

    def fits(self, line: ismrmrd.Acquisition, n_coils: int | None) -> bool:
        """Whether a line is as long as the header says, and of as many coils as the lines before, if there are any.

        Raises `ScanError` if the first line is not, or one is that would be taken for a line that was gridded already.
        """
        n_samples = line.number_of_samples
        if n_samples != self.n_samples and (n_coils is None or n_samples == len(self.operator)):
            raise ScanError(f"EPI lines have {n_samples} samples, header says {self.n_samples}")
        return n_samples == self.n_samples and n_coils in (None, line.active_channels)

    def echo(self, line: ismrmrd.Acquisition) -> Echo:
        """Return a line as it is along x."""
        with single_thread():
            pixels = torch.tensor(line.data) @ (self.reverse if flags.is_reversed(line) else self.operator).mT
        return Echo(line.getHead(), pixels)

    def as_cartesian(self, encoding: Encoding) -> Encoding:
        """Return the encoding of the lines when they leave: as many samples as pixels, over the image's width."""
        n_pixels = len(self.operator)
        return replace(
            encoding,
            trajectory="cartesian",
            encoded_matrix=(n_pixels, *encoding.encoded_matrix[1:]),
            encoded_fov=(encoding.recon_fov[0], *encoding.encoded_fov[1:]),
        )


def epi_readouts(scan: Scan) -> dict[int, EpiReadout]:
    """Return the readout of each EPI encoding of a scan. Raises `ValueError` for one that is not fully described."""
    described = enumerate(scan.header.encoding)
    return {
        index: _readout(scan.encodings[index], given.trajectoryDescription)
        for index, given in described
        if scan.encodings[index].trajectory == "epi"
    }


def _readout(encoding: Encoding, description: Any) -> EpiReadout:
    who = f"encoding {encoding.index}"
    if description is None or description.identifier != CONVENTIONAL:
        raise ValueError(f"{who}: {UNKNOWN}")
    given = dict(_parameters(description, who))
    n_samples = int(given.get("numSamples", encoding.encoded_matrix[0]))
    up, flat, down = (given.get(name, 0.0) for name in RAMPS)
    dwell = given.get("dwellTime", 1.0 if up + down == 0 else 0.0)
    if up + down == 0:
        flat = n_samples * dwell  # without ramps the samples are equidistant, whatever the header says of times
    try:
        trapezoid = Trapezoid(up, flat, down, dwell, n_samples)
    except ValueError as error:
        raise ValueError(f"{who}: {CONVENTIONAL}: {error}") from error
    if abs(given.get("acqDelayTime", trapezoid.delay) - trapezoid.delay) > dwell:
        log.warning("%s: acqDelayTime is %g us, but sampling in the middle of the gradient begins at %g us, as assumed",
                    who, given["acqDelayTime"], trapezoid.delay)  # fmt: skip
    extent = encoding.encoded_matrix[0] / encoding.encoded_fov[0]  # of kx, edge to edge, cycles per mm
    n_pixels = max(round(extent * encoding.recon_fov[0]), 2)
    if max(n_samples, n_pixels) > LARGEST_MATRIX[0]:
        raise ValueError(
            f"{who}: {n_samples} samples for {n_pixels} pixels along x, at most {LARGEST_MATRIX[0]:,} of each expected"
        )
    operator, reverse = (
        regridding_operator(way * extent * trapezoid.positions(), n_pixels, encoding.recon_fov[0]) for way in (1, -1)
    )
    n_navigators = given.get("numberOfNavigators")
    return EpiReadout(n_samples, operator, reverse, None if n_navigators is None else int(n_navigators))


def _parameters(description: Any, who: str) -> Iterator[tuple[str, float]]:
    for parameter in (*description.userParameterLong, *description.userParameterDouble):
        if parameter.name in (*RAMPS, "acqDelayTime", "numSamples", "dwellTime", "numberOfNavigators"):
            yield parameter.name, number(parameter.value, f"{who}: {parameter.name}")
