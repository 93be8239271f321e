"""From buffers to images: right pixels, right headers, and nothing passes for what it is not."""

import ismrmrd
import numpy as np
import pytest
import torch

from gadgets.coils.coil_compression import CoilCompression
from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.errors import ScanError
from gadgets.images.image_header import image_meta
from gadgets.items import Bucket
from gadgets.line_count import LineCount
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.receiving.buffer_intake import BufferIntake
from gadgets.recon.grappa_recon import GrappaRecon
from gadgets.recon.sense_recon import SenseRecon
from gadgets.stock.buffer import BucketToBuffer
from kband_core.fourier import to_kspace
from kband_core.phantom import coil_kspace, head_phantom, loop_coils
from tests.gadgets.heads import N_COILS, N, reconstruct, root_sum_of_squares
from tests.laws import nmse


@pytest.mark.parametrize(("recon", "worst"), [(SenseRecon(), 0.004), (GrappaRecon(), 0.004)])
@pytest.mark.parametrize("acceleration", [1, 2, 3])
def test_undersampled_head_is_restored(head_scan, lines_of, head, recon, worst, acceleration):
    """Noise-free: what remains is the maps' error, far below the 2-D zero-filled image's."""
    scan = head_scan(acceleration=acceleration)
    (array,) = reconstruct(scan, lines_of(acceleration), AcquisitionBuffer(), CoilSensitivities(), recon)
    reference = root_sum_of_squares(head)
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), reference) < worst
    if acceleration > 1:
        undersampled = head * (np.arange(N) % acceleration == 0)[:, None]
        assert nmse(root_sum_of_squares(undersampled), reference) > 10 * worst
    assert array.meta[0, 0, 0]["kband_complete"] == "yes"
    assert array.meta[0, 0, 0]["kband_fallback"] == "no"


def test_compressed_coils_give_the_same_image(head_scan, lines_of):
    """Six coils around a head have less than six coils' worth of signal: four virtual ones change little."""
    chains = [(CoilSensitivities(), SenseRecon()), (CoilCompression(n_coils=4), CoilSensitivities(), SenseRecon())]
    whole, compressed = (reconstruct(head_scan(acceleration=2), lines_of(2), AcquisitionBuffer(), *c) for c in chains)
    assert nmse(compressed[0].data.abs(), whole[0].data.abs()) < 0.01


def test_buffered_way_gives_the_same_pixels(head_scan, lines_of):
    """Both ways in hold the same lines, so they must end in the same image."""
    scan, lines = head_scan(acceleration=2), list(lines_of(2))
    data = [line for line in lines if not line.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)]
    bucket = Bucket(data, [line for line in lines if line.flags])
    (direct,) = reconstruct(scan, lines, AcquisitionBuffer(), CoilSensitivities(), SenseRecon())
    (buffered,) = reconstruct(scan, [bucket], BucketToBuffer(), BufferIntake(), CoilSensitivities(), SenseRecon())
    assert torch.equal(direct.data, buffered.data)
    assert dict(direct.meta[0, 0, 0]) == dict(buffered.meta[0, 0, 0])


def test_buffered_averages_are_averaged(head_scan, lines_of, head):
    """Averages along N, as BucketToBuffer is told to put them, become one image of their mean."""
    scan = head_scan(average=2)
    lines = [*lines_of(), *lines_of(kspace=3 * head, average=1)]
    gadgets = BucketToBuffer(N_dimension="average"), BufferIntake(), CoilSensitivities(), SenseRecon()
    (buffered,) = reconstruct(scan, [Bucket(lines, [])], *gadgets)
    (direct,) = reconstruct(scan, lines, AcquisitionBuffer(), CoilSensitivities(), SenseRecon())
    torch.testing.assert_close(buffered.data, direct.data)
    assert buffered.meta[0, 0, 0]["kband_lines"] == "128 of 128"


@pytest.mark.parametrize("recon", [SenseRecon, GrappaRecon])
def test_missing_calibration_falls_back_and_says_so(head_scan, lines_of, head, recon):
    """Without calibration lines the image is the zero-filled one, and header, meta and comment tell it apart."""
    chain = AcquisitionBuffer(), CoilSensitivities(), recon()
    (array,) = reconstruct(head_scan(acceleration=2), lines_of(2, acs=()), *chain)
    meta, header = array.meta[0, 0, 0], array.headers[0, 0, 0]
    undersampled = head * (np.arange(N) % 2 == 0)[:, None]
    torch.testing.assert_close(array.data[0, 0, 0, 0, 0].abs(), root_sum_of_squares(undersampled))
    assert meta["kband_method"] == "zero-filled"
    assert "calibration line " in meta["kband_fallback"]
    assert meta["ImageComments"].startswith("FALLBACK zero-filled: ")
    assert meta["GADGETRON_SeqDescription"] == "_zero-filled_FALLBACK"
    assert header.image_series_index == 101


@pytest.mark.parametrize("recon", [SenseRecon, GrappaRecon])
def test_missing_calibration_raises_if_told_to(head_scan, lines_of, recon):
    """on_failure="raise": no image rather than another one."""
    gadgets = AcquisitionBuffer(), CoilSensitivities(), recon(on_failure="raise")
    with pytest.raises(ScanError, match=f"^{recon.__name__}: .*calibration line "):
        reconstruct(head_scan(acceleration=2), lines_of(2, acs=()), *gadgets)


def test_all_zero_image_is_a_failure(head_scan, lines_of, head):
    """A black image that nobody asked for must not look like air."""
    gadgets = AcquisitionBuffer(), CoilSensitivities(), SenseRecon(on_failure="raise")
    with pytest.raises(ScanError, match="only zeros"):
        reconstruct(head_scan(), lines_of(kspace=0 * head), *gadgets)


def test_fully_sampled_scan_says_coil_combination(head_scan, lines_of, head):
    """Its magnitude is that of the coils as they came; with the maps alone it would be as bright everywhere."""
    chain = AcquisitionBuffer(), CoilSensitivities(), SenseRecon()
    (array,) = reconstruct(head_scan(), lines_of(), *chain)
    assert (array.meta[0, 0, 0]["kband_method"], array.meta[0, 0, 0]["kband_fallback"]) == ("coil combination", "no")
    assert array.meta[0, 0, 0]["SequenceDescriptionAdditional"] == "_coil_combination"
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), root_sum_of_squares(head)) < 1e-5


def test_pixels_that_twelve_bits_cannot_show_are_said(head_scan, lines_of, head):
    """A vessel ten times as bright as the head: the scanner's own gadgets clip it without a word."""
    gadgets = AcquisitionBuffer(), CoilSensitivities(), SenseRecon()
    (usual,) = reconstruct(head_scan(), lines_of(), *gadgets)
    spot = 10 * abs(head).max() * to_kspace(torch.eye(N)[40][:, None] * torch.eye(N)[30]).numpy()
    (bright,) = reconstruct(head_scan(), lines_of(kspace=head + spot), *gadgets)
    assert "kband_clipped" not in usual.meta[0, 0, 0]
    assert bright.meta[0, 0, 0]["kband_clipped"] == "1"
    assert "1 pixel brighter than 12 bits show, clipped" in bright.meta[0, 0, 0]["ImageComments"]


def test_hole_in_kspace_is_said_in_the_image(head_scan, lines_of, head):
    """One line of 64 missing: SENSE can fill it, but the image says INCOMPLETE."""
    lines = [line for line in lines_of() if line.idx.kspace_encode_step_1 != 7]
    (array,) = reconstruct(head_scan(), lines, AcquisitionBuffer(), CoilSensitivities(), SenseRecon())
    meta = array.meta[0, 0, 0]
    assert (meta["kband_complete"], meta["kband_lines"]) == ("no", "63 of 64")
    assert "INCOMPLETE 63 of 64 lines" in meta["ImageComments"]
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), root_sum_of_squares(head)) < 0.004


def test_grappa_with_a_hole_falls_back(head_scan, lines_of):
    """GRAPPA needs a whole grid; an image with a hole would show ghosts that nobody announced."""
    lines = [line for line in lines_of(2) if line.idx.kspace_encode_step_1 != 8]
    (array,) = reconstruct(head_scan(acceleration=2), lines, AcquisitionBuffer(), CoilSensitivities(), GrappaRecon())
    assert "line 8 of the R=2 grid is missing" in array.meta[0, 0, 0]["kband_fallback"]


def test_image_header_comes_from_the_centre_line(head_scan, lines_of):
    """Position, directions, times and counters are those of the line through the k-space centre."""
    lines = list(lines_of(slice=2, contrast=1))
    for line in lines:
        line.acquisition_time_stamp = 1000 + line.idx.kspace_encode_step_1
        line.position, line.read_dir, line.phase_dir = (1.0, 2.0, 3.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
        line.measurement_uid, line.user_int = 77, tuple(range(8))
    (array,) = reconstruct(head_scan(), lines, *chain_without_account())
    header = array.headers[0, 0, 0]
    assert header.acquisition_time_stamp == 1000 + N // 2
    assert (header.slice, header.contrast, header.measurement_uid) == (2, 1, 77)
    assert list(header.position) == [1.0, 2.0, 3.0]
    assert list(header.read_dir) == [0.0, 1.0, 0.0]
    assert list(header.user_int) == list(range(8))
    assert list(header.field_of_view) == [256.0, 256.0, 5.0]
    assert list(header.matrix_size) == [N, N, 1]


def chain_without_account():
    return AcquisitionBuffer(), CoilSensitivities(), SenseRecon()


def test_partial_echo_reconstructs(head_scan, lines_of, head):
    """A quarter of the readout missing: the unmeasured samples are unknown, not zero; edges blur, nothing folds."""
    short = head.copy()
    short[..., :16] = 0
    lines = list(lines_of(kspace=short))
    for line in lines:
        line.discard_pre = 16
    (array,) = reconstruct(head_scan(), lines, AcquisitionBuffer(), CoilSensitivities(), SenseRecon())
    assert array.meta[0, 0, 0]["kband_fallback"] == "no"
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), root_sum_of_squares(head)) < 0.03


@pytest.mark.parametrize("recon", [SenseRecon(), GrappaRecon()])
def test_three_dimensional_scan_becomes_a_volume(minimal_scan, make_acquisition, recon):
    """Fully sampled partitions, R=2 along ky: each partition of the volume is the slice it was made of."""
    n_z = 4
    scan = minimal_scan((N, N, n_z), (256.0, 256.0, 20.0), oversampling=1, acceleration=2)
    heads = [coil_kspace(head_phantom(0.1 * z), loop_coils(N_COILS), (N, N), oversampling=1) for z in range(n_z)]
    volume = to_kspace(torch.stack(heads, 1), dims=(1,)).numpy()  # [coil kz ky kx]
    lines = [
        make_acquisition(volume[:, kz, row], flags=[21] if row % 2 == 0 and row in range(22, 42) else
                         [20] if row % 2 else [], kspace_encode_step_1=row, kspace_encode_step_2=kz)
        for kz in range(n_z) for row in range(N) if row % 2 == 0 or row in range(22, 42)
    ]  # fmt: skip
    (array,) = reconstruct(scan, lines, AcquisitionBuffer(), CoilCompression(n_coils=5), CoilSensitivities(), recon)
    assert array.meta[0, 0, 0]["kband_fallback"] == "no"
    assert array.data.shape == (1, 1, 1, 1, n_z, N, N)
    assert list(array.headers[0, 0, 0].matrix_size) == [N, N, n_z]
    for z, head in enumerate(heads):
        assert nmse(array.data[0, 0, 0, 0, z].abs(), root_sum_of_squares(head.numpy())) < 0.01


@pytest.mark.parametrize(
    ("rows", "method", "said"),
    [
        (range(28, 36), "SENSE", "SENSE; misses 1% of the measured energy, completed by GRAPPA"),
        (range(29, 35), "GRAPPA", "FALLBACK GRAPPA: SenseRecon: SENSE misses 67% of the measured energy"),
    ],
)
def test_what_completes_an_image_is_said(head_scan, lines_of, head, noise, rows, method, said):
    """Maps of eight lines miss a part of the head, which GRAPPA's coils show; those of six miss most of it."""
    lines = lines_of(2, acs=rows, kspace=head + 0.003 * noise(*head.shape))
    (array,) = reconstruct(head_scan(acceleration=2), lines, AcquisitionBuffer(), CoilSensitivities(), SenseRecon())
    meta = array.meta[0, 0, 0]
    assert meta["kband_method"] == method
    assert said in meta["ImageComments"]
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), root_sum_of_squares(head)) < 0.02


def test_notes_stand_in_the_meta_in_their_order():
    """The same in every process: a client compares what a server sent with what was made elsewhere."""
    notes = {f"kband_{letter}": letter for letter in "qzxaykm"}
    count = LineCount(8, 8)
    meta = image_meta(ismrmrd.ImageHeader(), method="SENSE", fallback=None, count=count, problems=(), notes=notes)
    assert [key for key in meta if key in notes] == list(notes)
