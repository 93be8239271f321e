"""What is certainly broken is left out before coils are mixed, and the image says so."""

import pytest
import torch

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.coils.coil_whitening import CoilWhitening
from gadgets.coils.sound_lines import SoundLines
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.sense_recon import SenseRecon
from tests.gadgets.heads import reconstruct, root_sum_of_squares
from tests.laws import nmse

CHAIN = AcquisitionBuffer, SoundLines, CoilWhitening, CoilSensitivities, SenseRecon


@pytest.fixture
def noisy(head, noise):
    return head + 0.01 * noise(*head.shape)


def image_of(scan, lines):
    (array,) = reconstruct(scan, lines, *(gadget() for gadget in CHAIN))
    return array.data[0, 0, 0, 0, 0].abs(), array.meta[0, 0, 0]


def spike(line):
    line.data[2, 30] = 1000 * abs(line.data).max()


def silence(line):
    line.data[:] = 0


def of_row(lines, row):
    return next(line for line in lines if line.idx.kspace_encode_step_1 == row)


@pytest.mark.parametrize("spoil", [spike, silence])
@pytest.mark.parametrize("acceleration", [1, 2])
def test_a_broken_line_is_made_again_and_counts_as_missing(head_scan, lines_of, noisy, head, spoil, acceleration):
    """A spark, or a line that never came: of the image hardly anything is lost, and it is INCOMPLETE."""
    lines = list(lines_of(acceleration, kspace=noisy))
    spoil(of_row(lines, 12))
    image, meta = image_of(head_scan(acceleration=acceleration), lines)
    assert nmse(image, root_sum_of_squares(head)) < 0.02
    assert meta["kband_complete"] == "no"
    assert "1 line is broken" in meta["ImageComments"]


@pytest.mark.parametrize("spoil", [spike, silence])
def test_a_broken_line_that_only_calibrates_is_said_too(head_scan, lines_of, noisy, head, spoil):
    """It is in no image, and yet in the maps and kernels of all."""
    lines = list(lines_of(2, kspace=noisy))
    spoil(of_row(lines, 31))
    image, meta = image_of(head_scan(acceleration=2), lines)
    assert nmse(image, root_sum_of_squares(head)) < 0.02
    assert "1 calibration line is broken and was made again" in meta["ImageComments"]


@pytest.mark.parametrize("spoil", [spike, silence])
def test_a_broken_line_that_nothing_can_predict_is_left_out(head_scan, lines_of, noisy, head, spoil):
    """Six calibration lines fit no kernel that spans six: a hole is better than a spike."""
    lines = list(lines_of(3, kspace=noisy, acs=range(29, 35)))
    spoil(of_row(lines, 12))
    image, meta = image_of(head_scan(acceleration=3), lines)
    assert nmse(image, root_sum_of_squares(head)) < 0.1
    assert meta["kband_complete"] == "no"
    assert "1 line is broken" in meta["ImageComments"]


def test_a_coil_that_falls_silent_after_its_calibration_is_left_out(head_scan, lines_of, noisy, head):
    """Its maps would fetch from the others what it never measured."""
    lines = list(lines_of(2, kspace=noisy))
    for line in lines:
        if not 22 <= line.idx.kspace_encode_step_1 < 42:
            line.data[3] = 0
    image, meta = image_of(head_scan(acceleration=2), lines)
    assert "coil 3 is broken and left out" in meta["ImageComments"]
    others = [0, 1, 2, 4, 5]
    assert nmse(image, root_sum_of_squares(head[others])) < 0.02


def test_without_any_signal_there_is_a_marked_image(head_scan, lines_of, head):
    """A coil that is not plugged in: the last coil must not be left out as well, and with it the image."""
    _, meta = image_of(head_scan(acceleration=2), list(lines_of(2, kspace=0 * head)))
    assert meta["kband_fallback"] != "no"
    assert "no coil received a signal that can be used" in meta["ImageComments"]


def test_sound_lines_pass(head_scan, lines_of, noisy):
    """The same buffer, and nothing said."""
    items = reconstruct(head_scan(acceleration=2), lines_of(2, kspace=noisy), AcquisitionBuffer())
    calibration, buffer = SoundLines().process(items)
    assert torch.equal(calibration.acs, items[0].acs)
    assert buffer is items[1]


def test_input_items_stay_as_they_were(head_scan, lines_of, noisy):
    """Tensors are shared: another gadget may look at the same ones."""
    lines = list(lines_of(2, kspace=noisy))
    spike(of_row(lines, 30))
    items = reconstruct(head_scan(acceleration=2), lines, AcquisitionBuffer())
    before = [items[0].acs.clone(), items[1].kspace.clone(), items[1].acs.clone()]
    list(SoundLines().process(items))
    assert all(map(torch.equal, before, [items[0].acs, items[1].kspace, items[1].acs]))
