"""What a scan leaves out on one side of k-space is filled once, whatever made the image, and the meta says how."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.encoding import Limit
from gadgets.errors import ScanError
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon import reconstructor
from gadgets.recon.grappa_recon import GrappaRecon
from gadgets.recon.reconstruction import Method, Reconstruction
from gadgets.recon.reconstructor import Reconstructor
from gadgets.recon.sense_recon import SenseRecon
from kband_core.fourier import to_image, to_kspace
from tests.gadgets.heads import N, reconstruct, root_sum_of_squares
from tests.gadgets.streams import buffer_of, images, with_encoding
from tests.laws import nmse

FIRST = 20  # row: of 64 the upper 44 are scanned, 69 %


@pytest.fixture
def one_sided(head_scan):
    """Scan of which the limits announce the upper rows only; encoding step 1 counts from the first of them."""

    def make(first=FIRST, **header):
        return with_encoding(head_scan(**header), step1=Limit(0, N - 1 - first, N // 2 - first))

    return make


@pytest.fixture
def upper(lines_of):
    """The upper rows of the head, numbered from the first of them."""

    def make(first=FIRST, acceleration=1, **options):
        for line in lines_of(acceleration, **options):
            if line.idx.kspace_encode_step_1 >= first:
                line.idx.kspace_encode_step_1 -= first
                yield line

    return make


def image_of(scan, lines, recon, maps=True):
    """The image and its meta."""
    (array,) = reconstruct(scan, lines, AcquisitionBuffer(), *[CoilSensitivities()] * maps, recon)
    return array.data[0, 0, 0, 0, 0], array.meta[0, 0, 0]


def made_by(scan, lines, method, **options):
    (array,) = Reconstructor("Some", [method], lambda _: False, **options).process(images(scan, lines))
    return array.data[0, 0, 0, 0, 0], array.meta[0, 0, 0]


@dataclass(frozen=True)
class Complex(Method):
    """An image with a phase: what the first coil sees, of what was measured of it."""

    fills_one_side: bool = False
    label: str = "made"

    def reconstruct(self, buffer):
        return Reconstruction(to_image(buffer.kspace[0, 0, 0, 0], (-2, -1)))


@pytest.mark.parametrize("recon", [SenseRecon, GrappaRecon])
@pytest.mark.parametrize("acceleration", [1, 2])
def test_one_side_is_filled_whatever_made_the_image(one_sided, upper, head, recon, acceleration):
    """A fifteenth of the energy that zeros miss is left, with R=2 as well (0.06 to 0.07), and the scan is complete."""
    scan = one_sided(acceleration=acceleration)
    zeros, _ = image_of(scan, upper(acceleration=acceleration), recon(partial_fourier="zero_filled"))
    filled, meta = image_of(scan, upper(acceleration=acceleration), recon())
    reference = root_sum_of_squares(head)
    assert nmse(filled.abs(), reference) < 0.1 * nmse(zeros.abs(), reference)
    said = r"POCS at 9\d% \(a hidden strip and its prediction correlate 0\.99\), 69% of ky scanned"
    assert re.fullmatch(said, meta["kband_partial_fourier"])
    assert meta["kband_complete"] == "yes"


def test_all_lines_leave_nothing_to_fill(head_scan, lines_of):
    """A fully sampled scan is, bit for bit, the same image, whatever fills others."""
    first, *others = (
        image_of(head_scan(), lines_of(), SenseRecon(partial_fourier=how))
        for how in ("zero_filled", "auto", "homodyne", "pocs")
    )
    for image, meta in (first, *others):
        assert torch.equal(image, first[0])
        assert meta["kband_partial_fourier"] == "no"


def test_what_was_measured_stays(one_sided, upper, head):
    """The image's k-space where lines were measured is that of the method's image (rounding of float32)."""
    image, _ = made_by(one_sided(), upper(), Complex(), partial_fourier="pocs")
    assert torch.allclose(to_kspace(image)[FIRST:], torch.from_numpy(head[0, FIRST:]), atol=1e-5 * abs(head).max())


@pytest.mark.parametrize(("how", "said"), [("homodyne", "homodyne"), ("pocs", "POCS"), ("zero_filled", "zero-filled")])
def test_what_was_asked_for_is_done_and_said(one_sided, upper, how, said):
    _, meta = made_by(one_sided(), upper(), Complex(), partial_fourier=how)
    assert meta["kband_partial_fourier"] == f"{said}, 69% of ky scanned"
    assert meta["ImageComments"] == f"made; partial Fourier {said}, 69% of ky scanned"


def test_a_network_keeps_what_it_has_filled(one_sided, upper):
    """It has learnt from whole k-spaces, and fills brains better than a phase can (benchmarks/README.md)."""
    zeros, _ = made_by(one_sided(), upper(), Complex(), partial_fourier="zero_filled")
    kept, meta = made_by(one_sided(), upper(), Complex(fills_one_side=True))
    assert torch.equal(kept, zeros)
    assert meta["kband_partial_fourier"] == "filled by the network, 69% of ky scanned"


def test_an_image_that_cannot_be_filled_is_sent_all_the_same(one_sided, upper, monkeypatch):
    """Filling needs memory of its own: without it the image stays what its method made, and says so."""

    def fails(*_, **__):
        raise MemoryError("no memory left")

    monkeypatch.setattr(reconstructor, "fill_partial_fourier", fails)
    image, meta = made_by(one_sided(), upper(), Complex())
    assert image.any()
    assert meta["ImageComments"] == "made; partial Fourier not filled (no memory left)"
    with pytest.raises(ScanError, match=r"^Some: no memory left$"):
        made_by(one_sided(), upper(), Complex(), on_failure="raise")


def test_a_root_sum_of_squares_has_no_phase(one_sided, upper):
    """Without maps there is nothing to predict by, and the image says that zeros stand there."""
    _, meta = image_of(one_sided(), upper(), GrappaRecon(partial_fourier="pocs"), maps=False)
    assert meta["kband_partial_fourier"] == "zero-filled (the image has no phase), 69% of ky scanned"


def test_lines_that_never_came_were_not_left_out(head_scan, lines_of):
    """Announced, and lost: INCOMPLETE, and no partial Fourier."""
    lines = (line for line in lines_of() if line.idx.kspace_encode_step_1 >= FIRST)
    _, meta = image_of(head_scan(), lines, SenseRecon())
    assert meta["kband_partial_fourier"] == "no"
    assert meta["kband_complete"] == "no"


def test_padding_on_both_sides_is_no_partial_fourier(head_scan, lines_of):
    """Rows 10 to 53 of 64: fewer lines than rows, for smaller pixels, and as many on either side."""
    scan = with_encoding(head_scan(), step1=Limit(10, 53, N // 2))
    lines = (line for line in lines_of() if 10 <= line.idx.kspace_encode_step_1 <= 53)
    assert image_of(scan, lines, SenseRecon())[1]["kband_partial_fourier"] == "no"


@pytest.mark.parametrize("acceleration", [2, 3])
def test_a_grid_that_ends_early_is_no_partial_fourier(head_scan, lines_of, acceleration):
    """Of every third row the last is 63, and of every second 62."""
    _, meta = image_of(head_scan(acceleration=acceleration), lines_of(acceleration), SenseRecon())
    assert meta["kband_partial_fourier"] == "no"


def test_lines_that_were_moved_speak_for_themselves(head_scan, upper):
    """A header whose centre is the middle of what was scanned is wrong: the energy tells which side is short."""
    n_rows = N - FIRST
    scan = with_encoding(head_scan(), step1=Limit(0, n_rows - 1, n_rows // 2))
    _, meta = image_of(scan, upper(), SenseRecon())
    assert "69% of ky scanned" in meta["kband_partial_fourier"]


def test_an_asymmetric_echo_is_filled_along_kx(head_scan, lines_of, head):
    lines = list(lines_of())
    for line in lines:
        line.discard_pre = FIRST
    zeros, filled = (
        image_of(head_scan(), lines, SenseRecon(partial_fourier=how)) for how in ("zero_filled", "auto")
    )
    reference = root_sum_of_squares(head)
    assert nmse(filled[0].abs(), reference) < 0.1 * nmse(zeros[0].abs(), reference)
    assert filled[1]["kband_partial_fourier"].endswith("69% of kx scanned")


def test_partitions_left_out_are_filled_along_kz(minimal_scan, make_acquisition, head):
    """The head's rows as partitions: what was left out there is no longer empty."""
    scan = minimal_scan((N, 4, N), (256.0, 16.0, 256.0), oversampling=1)
    scan = with_encoding(scan, step2=Limit(0, N - 1 - FIRST, N // 2 - FIRST))
    lines = [
        make_acquisition(head[:, row] * (step == 2), kspace_encode_step_1=step, kspace_encode_step_2=row - FIRST)
        for row in range(FIRST, N)
        for step in range(4)
    ]
    (buffer,) = [item for item in buffer_of(scan).process(lines) if hasattr(item, "kspace")]

    @dataclass(frozen=True)
    class Volume(Method):
        label: str = "made"

        def reconstruct(self, buffer):
            return Reconstruction(to_image(buffer.kspace[0, 0, 0, 0], (-3, -2, -1)))

    (array,) = Reconstructor("Some", [Volume()], lambda _: False).process([buffer])
    assert array.meta[0, 0, 0]["kband_partial_fourier"].endswith("69% of kz scanned")
    kspace = to_kspace(array.data[0, 0, 0, 0], (-3, -2, -1))
    assert np.abs(kspace[1:FIRST].numpy()).max() > 0


def test_half_an_echo_tells_no_phase(head_scan, lines_of):
    """Nothing lies on both sides of the centre: the image is left as it is, whatever was asked for."""
    lines = list(lines_of())
    for line in lines:
        line.discard_pre = N // 2
    _, meta = image_of(head_scan(), lines, SenseRecon(partial_fourier="pocs"))
    less = "zero-filled (less than 6 samples on both sides of the centre tell no phase)"
    assert meta["kband_partial_fourier"] == f"{less}, 50% of kx scanned"
