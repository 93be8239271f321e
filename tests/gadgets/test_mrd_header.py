"""Headers as writers write them: numbers as text, centres that cannot be, partitions that are none."""

import re
import warnings

import numpy as np
import pytest
import torch

from gadgets.errors import PipelineError
from gadgets.items import ReconBuffer
from gadgets.scan import Scan
from tests.gadgets.streams import N_LINES, N_SAMPLES, buffer_of, images

NAMED = (
    "<measurementInformation><patientPosition>HFS</patientPosition><protocolName>Sch\u00e4del</protocolName>"
    "</measurementInformation>"
)


def changed(scan, old, new):
    assert old in scan.xml
    return Scan.from_xml(scan.xml.replace(old, new))


def test_a_whole_number_with_a_point_is_one(minimal_scan):
    """As other languages print it."""
    scan = changed(minimal_scan(), "<x>64</x>", "<x>64.0</x>")
    assert scan.encodings[0].recon_matrix == (64, 32, 1)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("<x>64</x>", "<x>63.9996</x>", "encoding 0: recon matrix x is 63.9996, expected a whole number"),
        ("<x>64</x>", "<x>many</x>", "encoding 0: recon matrix x is 'many', expected a number"),
        (">cartesian<", ">Cartesian<", "encoding 0: trajectory is 'Cartesian', expected cartesian, epi"),
        (">embedded<", ">inside<", "encoding 0: calibrationMode is 'inside'"),
        ("<kspace_encoding_step_2>1</kspace_encoding_step_2>", "<kspace_encoding_step_2>0</kspace_encoding_step_2>",
         "encoding 0: acceleration along kspace_encoding_step_2 is 0, expected 1 to 1"),
        ("<maximum>31</maximum>", "<maximum>1e9</maximum>", "kspace_encoding_step_1 runs from 0 to 1000000000"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(minimal_scan, old, new, sentence):
    """Element, value, and what was expected, in one sentence."""
    with pytest.raises(PipelineError, match=sentence) as error:
        changed(minimal_scan(acceleration=2), old, new)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        ("<fieldOfView_mm><x>1e-30</x>", "recon field of view is (1e-30, 128.0, 5.0) mm, expected 0.001 to 100,000 mm"),
        ("<fieldOfView_mm><x>0.5</x>",
         "along x 512 mm are encoded and 0.5 mm are to be shown, expected at most 32 times more or less"),
        ("<matrixSize><x>8192</x><y>4096</y><z>1</z></matrixSize><fieldOfView_mm><x>256.0</x>",
         "recon matrix has planes of 8192 × 4096, at most 8,388,608 samples expected"),
    ],
)  # fmt: skip
def test_sizes_that_no_scanner_has_are_refused(minimal_scan, new, sentence):
    """Such images would have no pixel, or take minutes each; who wrote them made a mistake."""
    shown = minimal_scan().header.encoding[0].reconSpace.fieldOfView_mm.x
    xml = re.sub(r">\s+<", "><", minimal_scan().xml)
    old = f"<fieldOfView_mm><x>{shown}</x>"
    if new.startswith("<matrixSize>"):
        old = "<matrixSize><x>64</x><y>32</y><z>1</z></matrixSize>" + old
    assert old in xml
    with pytest.raises(PipelineError) as error:
        Scan.from_xml(xml.replace(old, new))
    assert sentence in str(error.value)


def test_a_header_of_very_many_tags_is_refused():
    """Four megabytes of open tags took 25 s to parse, here and wherever headers are kept."""
    with pytest.raises(PipelineError, match="it has 1,000,000 tags, at most 100,000 are read"):
        Scan.from_xml("<a>" * 1_000_000)


def test_values_of_a_wrong_type_are_not_shown(minimal_scan):
    """The XML library warns of a birth date that is none, and shows it; a log is no place for that."""
    person = "<subjectInformation><patientBirthdate>19510307</patientBirthdate></subjectInformation><experimentalCond"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        changed(minimal_scan(), "<experimentalCond", person)


def test_a_centre_that_its_limits_rule_out_is_corrected(scan_of, make_acquisition, kspace):
    """Never set, it is 0: half of the lines would lie beyond the matrix. The image says so, and counts for nothing."""
    scan = changed(scan_of(), f"<center>{N_LINES // 2}</center>", "<center>0</center>")
    lines = [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in range(N_LINES)]
    (buffer,) = images(scan, lines)
    assert torch.equal(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(kspace))
    assert buffer.counts[0, 0, 0].complete is None
    assert "with centre 0 do not fit" in buffer.problems[0]


def test_partitions_without_steps_are_slices(minimal_scan):
    """A header that gives the number of slices as z of its matrices, and all of them as field of view."""
    three = changed(minimal_scan(), "<z>1</z>", "<z>3</z>")
    (encoding,) = three.encodings
    assert (encoding.encoded_matrix[2], encoding.recon_matrix[2], len(encoding.step2)) == (1, 1, 1)
    assert encoding.recon_fov[2] == pytest.approx(5 / 3)
    assert encoding.partition(0) == 0


@pytest.fixture
def wide(kspace):
    """The same lines with twice the samples: of an object that fills half of their field of view."""
    image = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(kspace, -1), norm="ortho"), -1)
    padded = np.pad(image, ((0, 0), (0, 0), (N_SAMPLES - N_SAMPLES // 2, N_SAMPLES // 2)))
    return np.fft.fftshift(np.fft.fft(np.fft.ifftshift(padded, -1), norm="ortho"), -1).astype(np.complex64)


def test_oversampling_that_the_header_does_not_tell_is_removed(scan_of, make_acquisition, kspace, wide):
    """It gives the matrix at base resolution, and the lines have twice its samples."""
    lines = [make_acquisition(wide[:, row], kspace_encode_step_1=row) for row in range(N_LINES)]
    (buffer,) = images(scan_of(), lines)
    torch.testing.assert_close(buffer.kspace[0, 0, 0, :, 0], torch.from_numpy(kspace))


def test_other_numbers_of_samples_name_the_matrix(scan_of, make_acquisition):
    """Lines and header disagree, and nobody knows by what."""
    lines = [make_acquisition(n_samples=3 * N_SAMPLES, kspace_encode_step_1=row) for row in range(N_LINES)]
    gadget = buffer_of(scan_of())
    with pytest.raises(Exception, match=f"{3 * N_SAMPLES} samples, {N_SAMPLES} expected of an encoded matrix of"):
        assert not [item for item in gadget.process(lines) if isinstance(item, ReconBuffer)]


@pytest.mark.parametrize(("declared", "written"), [("ISO-8859-1", "latin-1"), ("UTF-16", "utf-8"), ("none", "utf-8")])
def test_a_header_is_read_by_the_encoding_it_declares(minimal_scan, declared, written):
    """Where that cannot be, it is UTF-8."""
    xml = minimal_scan().xml.replace("<experimentalCond", NAMED + "<experimentalCond")
    xml = '<?xml version="1.0" encoding="' + declared + '"?>' + xml[xml.index("?>") + 2 :]
    scan = Scan.from_xml(xml.encode(written))
    assert scan.header.measurementInformation.protocolName == "Sch\u00e4del"


def test_a_header_behind_blanks_is_read_as_soon(minimal_scan):
    """A megabyte of them, as fixed lengths are filled up: looked through again at each, it would take a day."""
    xml = minimal_scan().xml
    text = xml[xml.index("?>") + 2 :] if xml.startswith("<?xml") else xml
    assert Scan.from_xml(" " * 10**6 + text).encodings == Scan.from_xml(text).encodings
