"""No alarm at scans that are as they should be, when they are at hand: an alarm that cries wolf is switched off."""

import pytest
import torch

from gadgets.items import ReconBuffer
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.scan import Scan
from gadgets.stock import AsymmetricEchoAdjustRO, NoiseAdjust, RemoveROOversampling
from kband_core.calibration import coil_maps
from kband_core.coil_noise import calibration_whitening
from kband_core.coils import compress, compression_matrix, sample_energy
from kband_core.consistency import DOUBLED, contradicting_lines, doubled_share, learn_windows, misfit
from kband_core.corruption import (
    broken_coils,
    interference,
    receiver_offset,
    silent_lines,
    wild_lines,
    wild_samples,
)
from kband_core.looked_lines import LookedLines
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import Verdict, run
from pipelines.files.mrd_file import RawFile

TOO_FEW_COILS = ("brain_flash_bodycoil_2ch", "phantom_flash_bodycoil_2ch", "phantom_gre_2ch_os2")
JUDGED = (
    "brain_flash_16ch", "brain_t1_8ch", "brain_prescan_16ch", "head_gre_32ch_4slices", "brain_se_2avg_noise_2ch",
    "phantom_flash_16ch", "phantom_ssfp_r3_acs_noise_14ch", "phantom_r2_refscan_16ch",
)  # fmt: skip


@pytest.fixture
def buffers(real_scans, request):
    """Slices of a raw file, k-space `(coil, ky, kx)`, the lines acquired, calibration lines and R."""
    with RawFile(real_scans / f"{request.param}.h5") as raw:
        scan = Scan.from_xml(raw.header_xml)
        chain = [NoiseAdjust(), AsymmetricEchoAdjustRO(), RemoveROOversampling(), AcquisitionBuffer(device="cpu")]
        items = [item for item in run(Pipeline(chain), scan, raw, Verdict()) if isinstance(item, ReconBuffer)]
    return [(b.kspace[0, 0, 0, :, 0], b.sampling.lines(), b.acs[0, 0], b.encoding.acceleration[0]) for b in items]


@pytest.mark.parametrize("buffers", [*JUDGED, *TOO_FEW_COILS], indirect=True)
def test_nothing_is_broken(buffers):
    """Samples, lines and coils of eleven scans, as they came."""
    for kspace, lines, acs, _ in buffers:
        acquired = LookedLines.of(kspace, torch.nonzero(lines).flatten())
        energy = acquired.figures.energy
        assert len(wild_samples(acquired)) == 0
        assert not wild_lines(energy).any()
        assert not silent_lines(energy).any()
        assert not broken_coils(energy, sample_energy(acs).mean(-1)).any()
        assert not receiver_offset(acquired).any()
        assert interference(acquired) == []


@pytest.mark.parametrize("buffers", JUDGED, indirect=True)
def test_lines_fit_together(buffers):
    """White, compressed to twelve coils; nothing that needs two coil vectors in half of the image."""
    for kspace, lines, acs, acceleration in buffers:
        matrix = calibration_whitening(acs[None])
        matrix = compression_matrix(compress(acs, matrix), min(12, len(acs))) @ matrix
        white, acs_white = compress(kspace, matrix), compress(acs, matrix)
        assert misfit(learn_windows(acs_white, acceleration), white, lines).is_consistent
        assert doubled_share(coil_maps(acs_white, tuple(kspace.shape[-2:])).csm) < DOUBLED / 2
        assert contradicting_lines(acs_white) == []
