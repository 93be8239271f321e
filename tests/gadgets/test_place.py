"""Lines are placed by where their echo is, and by the way they were read."""

import numpy as np
import pytest
import torch

from gadgets.encoding import Limit
from gadgets.errors import ScanError
from gadgets.items import ReconBuffer
from tests.gadgets.streams import N_LINES, N_SAMPLES, buffer_of, images, with_encoding


@pytest.mark.parametrize("off", [-2, -1, 1, 2])
def test_an_echo_beside_the_middle_is_moved(scan_of, make_acquisition, kspace, off):
    """Moved in a circle, which is a phase in the image: its magnitude stays, to rounding, and all samples count."""
    lines = [
        make_acquisition(np.roll(kspace[:, row], off, -1), header={"center_sample": N_SAMPLES // 2 + off},
                         kspace_encode_step_1=row)
        for row in range(N_LINES)
    ]  # fmt: skip
    (buffer,) = images(scan_of(), lines)
    assert torch.equal(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(kspace))
    assert buffer.readout == (0, N_SAMPLES)


def test_the_second_echo_of_a_bipolar_pair_is_turned_round(scan_of, make_acquisition, kspace):
    """Contrast 1 was read from right to left, as flag 22 says: it is the same image."""
    lines = []
    for row in range(N_LINES):
        lines.append(make_acquisition(kspace[:, row], kspace_encode_step_1=row))
        there = {"center_sample": N_SAMPLES - 1 - N_SAMPLES // 2}
        lines.append(make_acquisition(kspace[:, row, ::-1], flags=[22], header=there, kspace_encode_step_1=row,
                                      contrast=1))  # fmt: skip
    first, second = images(scan_of(contrast=2), lines)
    assert torch.equal(first.kspace, second.kspace)


def test_a_partial_echo_that_was_read_in_reverse(scan_of, make_acquisition, kspace):
    """What was discarded before the first sample comes behind the last one, and the other way round."""
    lines = [
        make_acquisition(kspace[:, row, ::-1], flags=[22], header={"center_sample": 2, "discard_post": 2},
                         kspace_encode_step_1=row)
        for row in range(N_LINES)
    ]  # fmt: skip
    (buffer,) = images(scan_of(), lines)
    assert buffer.readout == (2, N_SAMPLES)
    assert torch.equal(buffer.kspace[0, 0, 0, :, 0, :, 2:], torch.from_numpy(kspace[..., 2:]))


def test_a_partial_echo_is_not_moved_in_a_circle(scan_of, make_acquisition, kspace):
    """Its discarded samples would come round to the other end, as if they had been measured."""
    gadget, header = buffer_of(scan_of()), {"center_sample": N_SAMPLES // 2 + 1, "discard_post": 2}
    lines = [make_acquisition(kspace[:, row], header=header, kspace_encode_step_1=row) for row in range(N_LINES)]
    with pytest.raises(ScanError, match="centre sample is 4 of 6, 3 expected"):
        list(gadget.process(lines))


def test_an_echo_far_from_the_middle_has_no_place(scan_of, make_acquisition, kspace):
    """Half of the line would come from the other end of k-space."""
    gadget, received = buffer_of(scan_of()), []
    header = {"center_sample": 0}
    lines = [make_acquisition(kspace[:, row], header=header, kspace_encode_step_1=row) for row in range(N_LINES)]
    with pytest.raises(ScanError, match="centre sample is 0 of 6, 3 expected"):
        received.extend(gadget.process(lines))
    assert not any(isinstance(item, ReconBuffer) for item in received)


@pytest.fixture
def partial_head(head):
    """The head's k-space of which the first 16 of 64 rows were never acquired."""
    kspace = head.copy()
    kspace[:, :16] = 0
    return kspace


def test_a_centre_that_has_no_energy_is_not_believed(head_scan, make_acquisition, partial_head):
    """Partial Fourier, whose header counts from the first line acquired, but gives the middle of the matrix."""
    scan = with_encoding(head_scan(), step1=Limit(0, 47, 32))
    lines = [make_acquisition(partial_head[:, row + 16], kspace_encode_step_1=row) for row in range(48)]
    (buffer,) = images(scan, lines)
    assert torch.equal(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(partial_head))
    assert buffer.counts[0, 0, 0] == (48, 48)
    assert buffer.problems == ("most energy lies in row 16, but the header's centre is row 32: moved there",)
    middle = buffer.acs[0, 0, :, buffer.acs.shape[-2] // 2]
    assert torch.equal(middle, torch.from_numpy(partial_head)[:, 32])


def test_a_lone_strong_line_moves_no_centre(head_scan, make_acquisition, head):
    """The centre is a hill; a line of another place and gain stands alone, and is no reason to move all."""
    spoilt = head.copy()
    spoilt[:, 48] = 4 * head[:, 32]
    lines = [make_acquisition(spoilt[:, row], kspace_encode_step_1=row) for row in range(64)]
    (buffer,) = images(head_scan(), lines)
    assert torch.equal(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(spoilt))
    assert buffer.problems == ("row 48 is stronger than the centre, and alone: another's counters",)
    assert buffer.counts[0, 0, 0] == (63, 64)


def test_a_phase_across_the_object_moves_no_centre(head_scan, make_acquisition, head):
    """It moves the strongest line by three rows, as a field that is not homogeneous does."""
    lines = [make_acquisition(np.roll(head, 3, 1)[:, row], kspace_encode_step_1=row) for row in range(64)]
    (buffer,) = images(head_scan(), lines)
    assert torch.equal(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(np.roll(head, 3, 1)))
    assert buffer.problems == ()
