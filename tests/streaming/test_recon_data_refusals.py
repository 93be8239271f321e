"""ReconData that does not belong to its header ends in one sentence."""

import struct

import numpy as np
import pytest

from gadgets.errors import ScanError
from gadgets.scan import Scan
from pipelines.protocol.recon_data import decode_recon_data
from tests.streaming import bytes_by_hand as by_hand


def buffer_of(shape=(64, 64, 1, 4, 1, 1, 1), samples=64, coils=None) -> bytes:
    """A full buffer with all its lines."""
    n_images = shape[2] * shape[4] * shape[5] * shape[6]
    headers = [by_hand.line_header(samples, coils or shape[3], step1=row) for row in range(shape[1])] * n_images
    return by_hand.recon_buffer(np.ones(shape, np.complex64), headers)


def impossible_array(*lengths: int) -> bytes:
    return struct.pack(f"<Q{len(lengths)}Q", len(lengths), *lengths)


WHOLE = buffer_of()
REFUSED = {
    "no lines": (by_hand.recon_buffer(np.ones((4, 2, 1, 1, 1, 1, 1), np.complex64), [bytes(340)] * 2), None,
                 "a buffer holds 0 acquired lines"),
    "rows": (buffer_of((64, 65, 1, 4, 1, 1, 1)), None, "65 × 1 lines for a matrix of 64 × 1"),
    "partitions": (buffer_of((64, 64, 2, 4, 1, 1, 1)), None, "64 × 2 lines for a matrix of 64 × 1"),
    "readout": (buffer_of((48, 64, 1, 4, 1, 1, 1)), None, "48 samples along the readout, but a header 4 and 64"),
    "samples": (buffer_of(samples=48), None, "64 samples along the readout, but a header 4 and 48"),
    "rank": (by_hand.recon_buffer(np.ones((64, 64, 1, 1, 1, 1), np.complex64), [bytes(340)] * 64), None,
             "do not belong together"),
    "empty": (by_hand.recon_buffer(np.ones((64, 1, 1, 0, 1, 1, 1), np.complex64), [bytes(340)]), None,
              "do not belong together"),
    "impossible": (impossible_array(2**63, 0) + WHOLE[64 + 64 * 64 * 4 * 8 :], None,
                   "an array of 9223372036854775808 × 0 cannot be"),
    "reference coils": (WHOLE, buffer_of((64, 24, 1, 3, 1, 1, 1), coils=4),
                        "3 coils and 64 samples along the readout, but a header 4 and 64"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_buffer_that_cannot_be(name, scan):
    """Not an exception of NumPy's, and nothing made up."""
    data, reference, sentence = REFUSED[name]
    message = by_hand.read_one(by_hand.recon_data((data, reference)))
    with pytest.raises(ScanError, match=sentence):
        list(decode_recon_data(message, Scan.from_xml(scan[0])))


def test_image_without_lines_beside_another(scan):
    """Two images along S, of which one has no line: the lines of the other are all there is."""
    headers = [by_hand.line_header(64, 4, step1=row) for row in range(64)] + [bytes(340)] * 64
    raw = by_hand.recon_buffer(np.ones((64, 64, 1, 4, 1, 2, 1), np.complex64), headers)
    (data,) = decode_recon_data(by_hand.read_one(by_hand.recon_data((raw, None))), Scan.from_xml(scan[0]))
    assert [line.idx.kspace_encode_step_1 for line in data.lines] == list(range(64))


def test_encoding_that_the_header_lacks(scan):
    """A line names encoding 3 of 1."""
    header = bytearray(by_hand.line_header(64, 4))
    at = len(struct.pack("<HQ3I3I3H16Q3H", *[0] * 30))
    header[at : at + 2] = b"\3\0"
    raw = by_hand.recon_buffer(np.ones((64, 1, 1, 4, 1, 1, 1), np.complex64), [bytes(header)])
    with pytest.raises(ScanError, match="a line names encoding 3, the header has 1"):
        list(decode_recon_data(by_hand.read_one(by_hand.recon_data((raw, None))), Scan.from_xml(scan[0])))


def test_small_message_for_a_giant_matrix(scan):
    """One line must not make us allocate a volume: a 3-D matrix of 4096 × 2048 with 64 coils."""
    xml = scan[0].replace("<y>64</y>", "<y>4096</y>", 1).replace("<z>1</z>", "<z>2048</z>", 1)
    step2 = xml.index("<maximum>", xml.index("<kspace_encoding_step_2>"))
    xml = xml[:step2] + xml[step2:].replace("<maximum>0<", "<maximum>2047<", 1)
    raw = buffer_of((64, 1, 1, 4, 1, 1, 1))
    with pytest.raises(ScanError, match=r"a buffer of 17,179,869,184 bytes, at most 4,294,967,296"):
        list(decode_recon_data(by_hand.read_one(by_hand.recon_data((raw, None))), Scan.from_xml(xml)))


def test_reference_without_lines_is_no_calibration(scan):
    """All its headers are blank."""
    blank = by_hand.recon_buffer(np.ones((64, 24, 1, 4, 1, 1, 1), np.complex64), [bytes(340)] * 24)
    (data,) = decode_recon_data(by_hand.read_one(by_hand.recon_data((WHOLE, blank))), Scan.from_xml(scan[0]))
    assert len(data.lines) == 64
