"""Buckets become k-space: of an image's own lines only, and with the lines that judge it."""

import numpy as np
import pytest
import torch

from gadgets.errors import ScanError
from gadgets.items import Bucket, ReconBuffer
from gadgets.receiving.buffer_intake import BufferIntake
from gadgets.stock import BucketToBuffer
from tests.gadgets.heads import reconstruct
from tests.gadgets.streams import N_COILS, N_LINES, N_SAMPLES


def buffers(scan, lines, **properties):
    items = reconstruct(scan, [Bucket(lines, [])], BucketToBuffer(**properties), BufferIntake(device="cpu"))
    return [item for item in items if isinstance(item, ReconBuffer)]


@pytest.mark.parametrize("flag", [23, 26, 27, 28, 29, 30, 31])
def test_what_is_never_an_image_stays_out(scan_of, make_acquisition, kspace, flag):
    """Navigators, feedback, dummies: however wild, k-space is the same to the bit."""
    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(N_LINES)]
    wild = make_acquisition(np.full((N_COILS, N_SAMPLES), 1e9), flags=[flag], kspace_encode_step_1=4)
    (buffer,) = buffers(scan_of(), [*lines[:5], wild, *lines[5:]])
    assert torch.equal(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(kspace))


def test_echo_trains_are_refused(scan_of, make_acquisition, kspace):
    """Every second line read in reverse: the phase between both ways would make a ghost."""
    lines = [
        make_acquisition(kspace[:, row], flags=[22] * (row % 2), kspace_encode_step_1=row) for row in range(N_LINES)
    ]
    with pytest.raises(ScanError, match=r"^BufferIntake: 4 lines set aside, the first: it was read the other way"):
        buffers(scan_of(), lines)


def test_held_out_lines_of_every_slice_are_kept(scan_of, make_acquisition, kspace):
    """Two slices in one buffer, of which one has lines to judge it: they stand where its image stands."""
    lines = [
        make_acquisition(kspace[:, row], kspace_encode_step_1=row, slice=number)
        for number in (0, 1)
        for row in range(N_LINES)
    ]
    judge = make_acquisition(kspace[:, 3], flags=[23, 57], kspace_encode_step_1=3, slice=1)
    judge.user_float[0] = 0.5
    first, second = buffers(scan_of(slice=2), [judge, *lines])
    held_out, weights = second.held_out
    assert torch.equal(held_out[0, 0, 0, :, 0, 3], torch.from_numpy(kspace[:, 3]))
    assert weights[0, 0, 0, 0].tolist() == [0, 0, 0, 2, 0, 0, 0, 0]
    assert first.held_out is None
