"""Volumes of public data sets become planes by the gadgets that make those of a raw file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from gadgets.errors import ScanError
from gadgets.items import ReconBuffer, TrainingPlane
from gadgets.line_count import LineCount
from gadgets.mrd import ismrmrd
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.scan import Scan
from kband_core.calibration import find_acs
from kband_core.fourier import resize
from kband_core.plural import plural
from kband_core.sampling import Grid
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.files.datasets.volume import Volume

# One 2-D encoding, of any field of view: all that gadgets behind the buffers ask of a header.
HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<experimentalConditions><H1resonanceFrequency_Hz>1</H1resonanceFrequency_Hz></experimentalConditions>
<encoding><encodedSpace>{space}</encodedSpace><reconSpace>{space}</reconSpace><encodingLimits><kspace_encoding_step_1>
<minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center></kspace_encoding_step_1></encodingLimits>
<trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"""
SPACE = """<matrixSize><x>{kx}</x><y>{ky}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>1</x><y>1</y><z>1</z></fieldOfView_mm>"""


def volume_planes(volume: Volume, slices: Iterable[int]) -> Iterator[TrainingPlane]:
    """Send slices through what stands behind the buffers in prepare.xml; slices of zeros alone are left out.

    Each slice is a scan of its own, so that no maps are kept. There is no noise scan in these files; coils are whitened
    by what the calibration lines show. Raises `ScanError` where calibration is impossible.
    """
    gadgets = Pipeline.from_xml(installed_xml("prepare")).gadgets
    buffering = next(n for n, gadget in enumerate(gadgets) if isinstance(gadget, AcquisitionBuffer))
    behind, acs_lines = Pipeline(gadgets[buffering + 1 :]), gadgets[buffering].acs_lines
    for number in slices:
        for contrast, kspace in enumerate(volume.read(number)):
            if kspace.any():
                header = ismrmrd.AcquisitionHeader()
                header.idx.slice, header.idx.contrast, header.idx.repetition = number, contrast, volume.repetition
                yield from _planes(kspace, header, behind, acs_lines)


def _planes(
    kspace: Tensor, header: ismrmrd.AcquisitionHeader, behind: Pipeline, acs_lines: int
) -> Iterator[TrainingPlane]:
    """Send one image of k-space `(coil, ky, kx)`, whose zeros were not acquired, through the gadgets."""
    who = f"slice {header.idx.slice}"
    if n_bad := int((~torch.isfinite(torch.view_as_real(kspace))).any(-1).sum()):
        raise ScanError(
            f"{who}: {n_bad:,} {plural(n_bad, 'sample of k-space is', 'samples of k-space are')} NaN or infinite, so "
            "no plane can be trained on"
        )
    mask = (kspace != 0).any(0)
    lines, (ky, kx) = mask.any(-1, keepdim=True), mask.shape
    sampling = Grid(lines if torch.equal(mask, lines.expand_as(mask)) else mask)
    scan = Scan.from_xml(HEADER.format(space=SPACE.format(kx=kx, ky=ky), last=ky - 1, centre=ky // 2))
    headers, counts = np.empty((1, 1, 1), object), np.empty((1, 1, 1), object)
    headers[0, 0, 0], counts[0, 0, 0] = header, LineCount(int(lines.sum()), None)
    buffer = ReconBuffer(
        kspace[None, None, None, :, None], sampling[None, None, None, None], headers, counts, scan.encodings[0],
        (0, kx), acs=_acs(kspace, mask, acs_lines, who)[None, None],
    )  # fmt: skip
    yield from run(behind, scan, [buffer], Verdict())


def _acs(kspace: Tensor, mask: Tensor, most_lines: int, who: str) -> Tensor:
    """Cut the sampled centre out of k-space, `(coil, line, sample)`."""
    ky, kx = mask.shape
    if not mask[ky // 2, kx // 2]:
        raise ScanError(f"{who}: the centre of k-space was not acquired, so no plane can be trained on")
    through_centre = mask[:, kx // 2], mask[ky // 2]
    n_lines, n_samples = (_around_the_centre(find_acs(along), len(along)) for along in through_centre)
    return resize(kspace, [min(n_lines, most_lines), n_samples])


def _around_the_centre(block: slice, length: int) -> int:
    """Extent of the largest part of a block of samples that `resize` would cut out of `length`."""
    centre = length // 2
    return min(2 * (centre - block.start) + 1, 2 * (block.stop - centre))
