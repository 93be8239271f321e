"""Averages that the header announces: their number is its word; which numbers they have is the scanner's."""

import re

import pytest
import torch

from gadgets.items import ReconBuffer
from gadgets.scan import Scan
from tests.gadgets.streams import N_LINES, images
from tests.gadgets.test_receiving_room import received


@pytest.fixture
def averaged(scan_of, make_acquisition, kspace):
    """The image of lines that come once for each of `numbers`, where the header announces `first` to `last`."""

    def image_of(first, last, numbers):
        xml, n_found = re.subn(r"(<average>\s*<minimum>)0<", rf"\g<1>{first}<", scan_of(average=last + 1).xml)
        assert n_found == 1
        scan = Scan.from_xml(xml)
        lines = [make_acquisition(factor * kspace[:, row], kspace_encode_step_1=row, average=number)
                 for factor, number in enumerate(numbers, 1) for row in range(N_LINES)]  # fmt: skip
        (buffer,) = images(scan, lines)
        return buffer.kspace[0, 0, 0, :, 0], buffer.counts[0, 0, 0]

    return image_of


@pytest.mark.parametrize("numbers", [(0, 2, 3), (0, 2)])
def test_an_announced_average_that_never_came_is_missing(averaged, kspace, numbers):
    """Four were announced: the SNR that the protocol promises is not there, though the others make a whole image."""
    image, count = averaged(0, 3, numbers)
    assert count == (N_LINES * len(numbers), N_LINES * 4)
    assert count.complete is False
    mean = (1 + len(numbers)) / 2  # of the factors
    torch.testing.assert_close(image, torch.from_numpy((mean * kspace).astype("complex64")))


@pytest.mark.parametrize(("first", "last", "numbers"), [(1, 3, (1, 2, 3)), (0, 1, (0, 2)), (0, 2, (0, 0, 0))])
def test_as_many_as_announced_are_all(averaged, first, last, numbers):
    """Limits that begin at 1, numbers with a gap, no numbers at all: each line came as often as the header says."""
    _, count = averaged(first, last, numbers)
    assert count == (N_LINES * len(numbers), N_LINES * len(numbers))


@pytest.mark.parametrize("by_row", [False, True])
def test_more_than_announced_are_set_aside(scan_of, make_acquisition, kspace, by_row):
    """One average is announced, two come: the image is that of the first, whichever way they are interleaved."""
    order = [(row, number) for row in range(N_LINES) for number in (0, 1)]
    order = order if by_row else sorted(order, key=lambda each: each[1])
    lines = [make_acquisition((1 + 9 * number) * kspace[:, row], kspace_encode_step_1=row, average=number)
             for row, number in order]  # fmt: skip
    items, sentence = received(scan_of(average=1), lines)
    (buffer,) = [item for item in items if isinstance(item, ReconBuffer)]
    assert torch.equal(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(kspace))
    assert sum(map(int, re.findall(r"(\d+) lines? set aside", sentence))) == N_LINES
