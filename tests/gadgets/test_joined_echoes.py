"""Two half echoes that were read from the centre outwards, one each way, are one whole echo."""

import numpy as np
import pytest
import torch

from gadgets.errors import ScanError
from gadgets.items import Calibration
from tests.gadgets.streams import N_LINES, N_SAMPLES, buffer_of, images

GAIN = 1.08 * np.exp(0.2j)  # of the second echo, as in phantom_halfecho_r2_2ch


@pytest.fixture
def halves(make_acquisition, kspace):
    """Lines of both echoes: contrast 0 holds the centre and what is above, contrast 1 what is below and the centre."""

    def make(rows=range(N_LINES), both=(0, 1), **counters):
        centre = N_SAMPLES // 2
        for row in rows:
            for contrast, (pre, post) in enumerate(((centre, 0), (0, N_SAMPLES - 1 - centre))):
                if contrast in both:
                    yield make_acquisition(
                        kspace[:, row] * (GAIN if contrast else 1), header={"discard_pre": pre, "discard_post": post},
                        kspace_encode_step_1=row, contrast=contrast, **counters,
                    )  # fmt: skip

    return make


def test_joined_echoes_are_the_full_echo(scan_of, halves, kspace):
    """The second is scaled by what both measured, the sample k = 0 of all lines (rounding of float32)."""
    (buffer,) = images(scan_of(contrast=2), halves(), join_echoes=True)
    assert torch.allclose(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(kspace), atol=1e-6)
    assert buffer.readout == (0, N_SAMPLES)
    assert str(buffer.counts[0, 0, 0]) == "16 of 16"
    assert buffer.problems == ("half echoes of contrasts 0 and 1 joined, the second scaled by 0.93",)
    assert buffer.notes == {"kband_joined_contrasts": "0, 1"}


def test_calibration_lines_are_joined_as_well(scan_of, halves, kspace):
    """Those of a half echo would calibrate half of k-space: none runs ahead."""
    items = list(buffer_of(scan_of(contrast=2), join_echoes=True, acs_lines=4).process(halves()))
    assert not any(isinstance(item, Calibration) for item in items)
    assert torch.allclose(items[0].acs[0, 0], torch.from_numpy(kspace[:, 2:6]), atol=1e-6)


def test_a_line_that_one_echo_lacks_is_missing(scan_of, halves, kspace):
    """Half a line is no line: it stays out, and the image is incomplete."""
    lines = [line for line in halves() if (line.idx.contrast, line.idx.kspace_encode_step_1) != (1, 5)]
    (buffer,) = images(scan_of(contrast=2), lines, join_echoes=True)
    assert str(buffer.counts[0, 0, 0]) == "15 of 16"
    assert not buffer.kspace[0, 0, 0, :, 0, 5].any()


def test_echoes_of_other_slices_are_not_joined(scan_of, halves):
    lines = [*halves(slice=0), *halves(slice=1)]
    buffers = images(scan_of(contrast=2, slice=2), lines, join_echoes=True)
    assert [buffer.slice_counters() for buffer in buffers] == [[0], [1]]


def test_a_half_echo_alone_says_so(scan_of, halves):
    """Its other half never came: the image is sent, as it is, with a sentence, and the scan ends with an error."""
    sent = []
    with pytest.raises(ScanError, match="1 of 2 images received lines"):
        sent.extend(buffer_of(scan_of(contrast=2), join_echoes=True).process(halves(both=(0,))))
    assert "samples 3 to 5 of 6 along kx, and no contrast that joins them to a full echo" in sent[-1].problems


def test_whole_echoes_pass(scan_of, make_acquisition, kspace):
    """Two contrasts that were read as a whole are two images."""
    lines = [
        make_acquisition(kspace[:, row], kspace_encode_step_1=row, contrast=contrast)
        for row in range(N_LINES)
        for contrast in (0, 1)
    ]
    assert len(images(scan_of(contrast=2), lines, join_echoes=True)) == 2
    assert len(images(scan_of(contrast=2), lines)) == 2
