"""A first line of another number of coils costs that line, not the scan."""

import numpy as np
import pytest

from gadgets.errors import ScanError
from gadgets.items import ReconBuffer
from gadgets.receiving.first_lines import FirstLines
from tests.gadgets.streams import buffer_of, images


def lines_of(make, kspace, *, wrong=()):
    """All lines of an image; those in `wrong` lack a coil."""
    rows = range(kspace.shape[1])
    return [make(kspace[: 2 if row in wrong else None, row], kspace_encode_step_1=row) for row in rows]


@pytest.mark.parametrize("wrong", [(0,), (0, 3), (1,)])
def test_what_most_lines_have_counts(scan_of, make_acquisition, kspace, wrong):
    """Two lines that agree outvote the first one; the others are set aside and told."""
    received = []
    with pytest.raises(ScanError, match="it has 2 coils, other lines have 3"):
        received.extend(buffer_of(scan_of()).process(lines_of(make_acquisition, kspace, wrong=wrong)))
    (buffer,) = [item for item in received if isinstance(item, ReconBuffer)]
    assert buffer.kspace.shape[3] == 3
    assert buffer.counts[0, 0, 0] == (8 - len(wrong), 8)


@pytest.mark.parametrize(("announced", "n_read"), [(3, 1), (None, 2), (32, 2)])
def test_no_line_waits_where_the_header_agrees(scan_of, make_acquisition, kspace, announced, n_read):
    """Else the first one waits for the second."""
    scan = scan_of()
    scan.header.acquisitionSystemInformation.receiverChannels = announced
    lines = iter(lines_of(make_acquisition, kspace))
    next(FirstLines(scan).through(lines))
    assert len(list(lines)) == 8 - n_read


def test_a_header_that_no_line_agrees_with_is_wrong(scan_of, make_acquisition, kspace):
    """A gadget before may have combined coils: its lines are good."""
    scan = scan_of()
    scan.header.acquisitionSystemInformation.receiverChannels = 32
    (buffer,) = images(scan, lines_of(make_acquisition, kspace))
    assert np.array_equal(buffer.counts[0, 0, 0], (8, 8))
