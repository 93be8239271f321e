"""Buffers that Gadgetron made give the same images as its lines do; broken ones end in a sentence."""

import copy
from contextlib import suppress

import ismrmrd
import numpy as np
import pytest
import torch

from gadgets import flags
from gadgets.errors import ScanError
from gadgets.items import ReconBuffer, ReconData
from gadgets.receiving.buffer_intake import BufferIntake
from gadgets.scan import Scan
from pipelines.protocol.recon_bytes import read_array
from pipelines.protocol.recon_data import decode_recon_data
from pipelines.simulation.simulated_protocol import Protocol, bit
from pipelines.simulation.simulated_scan import simulate_scan
from tests.laws import nmse
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming import stock

LINES, BUFFERS = (stock.inner_configuration(name) for name in ("sense", "sense_buffered"))
CALIBRATION, BOTH = bit(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION), bit(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)


def simulated(**protocol) -> tuple[str, list[ismrmrd.Acquisition]]:
    """Header and prepared lines of a scan of 48² with 4 coils."""
    common = {"matrix": 48, "n_coils": 4, "n_slices": 1, "acceleration": 2, "acs_lines": 16, "snr": 200.0}
    header, lines, _ = simulate_scan(Protocol(**{**common, **protocol}))
    return header, stock.prepared(header, lines)


def decoded(header: str, messages) -> list[ReconData]:
    scan = Scan.from_xml(header)
    return [data for raw in messages for data in decode_recon_data(by_hand.read_one(raw), scan)]


def received(header: str, messages) -> list[ReconBuffer]:
    """The buffers that BufferIntake makes of them."""
    intake, buffers = BufferIntake(device="cpu"), []
    intake.open(Scan.from_xml(header))
    with suppress(ScanError):
        buffers.extend(intake.process(decoded(header, messages)))
    return [item for item in buffers if isinstance(item, ReconBuffer)]


def check_same_images(header: str, lines: list[ismrmrd.Acquisition]) -> None:
    """Same slices, pixels (nmse 1e-10: single precision, another order of sums), positions and verdicts."""
    by_lines = stock.images_of(LINES, header, copy.deepcopy(lines))
    by_buffers = stock.images_of(BUFFERS, header, decoded(header, stock.recon_data(header, lines)))
    assert len(by_lines) == len(by_buffers) > 0
    key = lambda array: (array.headers.flat[0].repetition, array.headers.flat[0].slice)  # noqa: E731
    for one, other in zip(sorted(by_lines, key=key), sorted(by_buffers, key=key), strict=True):
        assert one.data.shape == other.data.shape
        assert nmse(other.data, one.data) < 1e-10
        header_one, header_other = one.headers.flat[0], other.headers.flat[0]
        assert list(header_one.position) == list(header_other.position)
        assert header_one.slice == header_other.slice
        assert one.meta.flat[0] == other.meta.flat[0]


@pytest.mark.parametrize(
    "protocol",
    [
        {"n_slices": 3, "interleaved": True},
        {"calibration": "separate"},
        {"calibration": "separate", "n_averages": 2},
        {"calibration": "separate", "partial_fourier": 0.75},
        {"acceleration": 1},
        {"acceleration": 1, "n_averages": 2},
        {"n_averages": 3},
        {"partial_fourier": 0.75},
        {"acceleration": 3, "matrix": 49, "acs_lines": 17},
        {"n_repetitions": 2, "n_slices": 2},
        {"calibration": "none"},
    ],
    ids=str,
)
def test_buffers_are_worth_their_lines(protocol):
    """Whichever way k-space comes in, the scanner's samples are the same."""
    check_same_images(*simulated(**protocol))


def test_buffers_of_the_common_scan(scan):
    """The scan of all tests, 2 slices."""
    check_same_images(scan[0], stock.prepared(scan[0], scan[1]))


def test_only_extra_lines_are_flagged():
    """Some scanners flag no line that is the image's own: those between calibrate as well."""
    header, lines = simulated(n_averages=2)
    for line in lines:
        line.flags &= ~BOTH
    check_same_images(header, lines)


@pytest.mark.parametrize(("row", "count"), [(21, "24 of 25"), (22, "23 of 24")], ids=["off_the_grid", "on_it"])
def test_a_lost_calibration_line_is_missed(row, count):
    """Its row does not calibrate; count and comment say so, as where the lines came in one by one."""
    header, lines = simulated()
    lines.remove(next(line for line in lines if flags.is_calibration(line) and line.idx.kspace_encode_step_1 == row))
    (buffer,) = received(header, stock.recon_data(header, lines))
    assert buffer.problems == (f"1 calibration line is missing, first row {row}",)
    assert str(buffer.counts[0, 0, 0]) == count
    check_same_images(header, lines)


@pytest.mark.parametrize("protocol", [{}, {"acceleration": 1}], ids=["whole_readout", "discarded_samples_left_out"])
def test_partial_echo(protocol):
    """Without `parallelImaging` Gadgetron's buffers leave out the samples to be discarded."""
    header, lines = simulated(**protocol)
    for line in lines:
        line.discard_pre = 10
        line.data[:, :10] = 0
    (buffer,) = received(header, stock.recon_data(header, lines))
    assert buffer.readout == (10, 48)
    assert buffer.kspace.shape[-1] == 48
    check_same_images(header, lines)


def test_fewer_rows_than_the_matrix():
    """Without `parallelImaging` there are maximum − minimum + 1 rows, counted from the matrix's first."""
    header, lines = simulated(acceleration=1)
    header, lines = shortened(header), [line for line in lines if line.idx.kspace_encode_step_1 < 36]
    (raw,) = stock.recon_data(header, lines)
    assert read_array(iter(by_hand.read_one(raw).parts[1:]), np.dtype(np.complex64)).shape[-2] == 36
    check_same_images(header, lines)


def shortened(header: str) -> str:
    """The header of a scan that ends after 36 of 48 rows."""
    start = header.index("<kspace_encoding_step_1>")
    changed = header[:start] + header[start:].replace("<maximum>47</maximum>", "<maximum>35</maximum>", 1)
    assert changed != header
    return changed


def test_rows_that_gadgetron_dropped_are_missing():
    """Partial Fourier without `parallelImaging`: the stock gadget loses the last rows, and the image says so."""
    header, lines = simulated(acceleration=1, partial_fourier=0.75)
    (images,) = stock.images_of(BUFFERS, header, decoded(header, stock.recon_data(header, lines)))
    meta = images.meta.flat[0]
    assert meta["kband_complete"] == "no"
    assert "INCOMPLETE 24 of 36 lines" in meta["ImageComments"]


def test_blank_headers_are_missing_lines():
    """The first header is blank at R=2 with an odd first row: nothing is read from it."""
    header, lines = simulated()
    (raw,) = stock.recon_data(header, [line for line in lines if line.idx.kspace_encode_step_1 > 4])
    (buffer,) = received(header, [raw])
    rows = {line.idx.kspace_encode_step_1 for line in lines if not line.flags & CALIBRATION} - set(range(5))
    assert set(torch.nonzero(buffer.sampling.lines())[:, 0].tolist()) == rows
    assert buffer.slice_counters() == [0]


def test_lines_lie_where_gadgetron_put_them():
    """It moves each echo to the middle, and leaves in the header where it was: it must not be moved again."""
    header, _ = simulated(acceleration=1)
    kspace, heads = by_hand.random_complex(48, 48, 1, 4, 1, 1, 1), []
    for row in range(48):
        head = ismrmrd.AcquisitionHeader.from_buffer_copy(by_hand.line_header(48, 4, step1=row))
        head.center_sample, head.discard_post = 22, 2
        heads.append(bytes(head))
    (data,) = decoded(header, [by_hand.recon_data((by_hand.recon_buffer(kspace, heads), None))])
    assert {line.center_sample for line in data.lines} == {24}
    assert {(line.discard_pre, line.discard_post) for line in data.lines} == {(2, 0)}


def test_reference_rows_are_known_where_they_serve_the_image():
    """Embedded lines stand at their rows; separate ones have another contrast and must stay out."""
    for calibration, row in (("embedded", 16), ("separate", None)):
        header, lines = simulated(calibration=calibration)
        (buffer,) = received(header, stock.recon_data(header, lines))
        assert buffer.acs.shape == (1, 1, 4, 16, 48)
        assert buffer.acs_row == row


def test_encoding_spaces_without_lines():
    """Gadgetron writes arrays of rank 0 for a space that has no lines, or for calibration lines alone."""
    header, lines = simulated(acceleration=1)
    (raw,) = stock.recon_data(header, lines)
    empty = bytes(8) + b"\0\0" + bytes(8) + bytes(56)
    two = raw[:2] + (2).to_bytes(8, "little") + empty + b"\0" + raw[10:]
    (buffer,) = received(header, [two])
    assert buffer.sampling.mask.all()
    assert decoded(header, [by_hand.recon_data((empty, by_hand.small_buffer()))]) == []


def test_slice_without_lines():
    """A slice between others that lost all its lines makes no image; the others do."""
    header, _ = simulated(n_slices=3, acceleration=1)
    kspace = by_hand.random_complex(48, 48, 1, 4, 1, 1, 3)
    first, last = ([by_hand.line_header(48, 4, step1=row, slice_=n) for row in range(48)] for n in (0, 2))
    raw = by_hand.recon_buffer(kspace, [*first, *[bytes(340)] * 48, *last])
    _, second = received(header, [by_hand.recon_data((raw, None))])
    assert second.slice_counters() == [2]
    np.testing.assert_array_equal(second.kspace[0, 0, 0, :, 0], kspace[:, :, 0, :, 0, 0, 2].transpose(2, 1, 0))
