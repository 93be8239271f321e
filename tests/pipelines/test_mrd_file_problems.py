"""A file that is broken is said in one sentence."""

import h5py
import numpy as np
import pytest

from pipelines.files.mrd_file import ImageFile, RawFile, read_images, write_raw
from tests.pipelines.mrd_samples import XML, image, line, problem_of


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.h5"
    write_raw(path, XML, [line(n) for n in range(300)], reference=[image(7)])
    return path


def test_missing_folder_is_said(tmp_path):
    """The most common slip on the command line."""
    path = tmp_path / "nowhere" / "images.h5"
    assert problem_of(ImageFile(path, XML).__enter__) == f"{path}: cannot be written (No such file or directory)"


def test_missing_file_is_said_and_not_created(tmp_path):
    """The stock library creates an empty file on a misspelt name."""
    path = tmp_path / "scan.h5"
    assert problem_of(RawFile, path) == problem_of(read_images, path) == f"{path}: no such file"
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"not an HDF5 file", b"x" * 5000])
def test_other_files_are_not_mrd(tmp_path, content):
    """A vendor's raw file, or a download that holds an error page."""
    path = tmp_path / "scan.h5"
    path.write_bytes(content)
    assert problem_of(RawFile, path) == f"{path}: not an HDF5 file, so not an MRD file"


def test_folder_is_not_a_file(tmp_path):
    """A folder opens as little as a file does."""
    assert problem_of(RawFile, tmp_path) == f"{tmp_path}: cannot be opened (Is a directory)"


def test_truncated_file_says_how_much_is_there(scan):
    """A copy that broke off, or a full disk."""
    whole = scan.read_bytes()
    scan.write_bytes(whole[:20_000])
    expected = f"{scan}: the file is cut off, 20,000 of {len(whole):,} bytes; copy it again"
    assert problem_of(RawFile, scan) == problem_of(read_images, scan) == expected


def test_missing_parts_are_said(tmp_path):
    """Each part of an MRD file that is not there has its sentence."""
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file.create_group("left")
        file.create_group("right")
    assert problem_of(RawFile, path) == f"{path}: no group 'dataset'; groups are left, right"
    assert problem_of(read_images, path) == f"{path}: no images; groups are left, right"
    with h5py.File(path, "a") as file:
        file.create_group("dataset")
    assert problem_of(RawFile, path) == f"{path}: group 'dataset' has no MRD header (xml)"
    with h5py.File(path, "a") as file:
        file["dataset/xml"] = [XML.encode()]
    assert problem_of(RawFile, path) == f"{path}: group 'dataset' has 0 acquisitions, at least 1 expected"
    with h5py.File(path, "a") as file:
        file["dataset/data"] = np.zeros(3)
    assert problem_of(RawFile, path) == f"{path}: data of group 'dataset' are not MRD acquisitions"


@pytest.mark.parametrize("xml", [np.zeros(0, h5py.string_dtype()), h5py.Empty("S1"), None], ids=["0", "null", "group"])
def test_header_that_is_empty_is_said(scan, xml):
    """What a writer leaves that stopped between making the dataset and filling it."""
    with h5py.File(scan, "a") as file:
        del file["dataset/xml"]
        if xml is None:
            file.create_group("dataset/xml")
        else:
            file["dataset"].create_dataset("xml", data=xml)
    assert problem_of(RawFile, scan) == f"{scan}: group 'dataset' has no MRD header (xml)"


def test_reference_that_is_no_group_is_none(scan):
    """Only simulated scans have one; elsewhere the name may mean anything."""
    with h5py.File(scan, "a") as file:
        del file["reference"]
        file["reference"] = np.zeros(3)
    with RawFile(scan) as raw:
        assert raw.reference() == []


def test_scan_without_lines_is_said(tmp_path):
    """A scan that was stopped before its first line."""
    write_raw(tmp_path / "scan.h5", XML, [])
    expected = f"{tmp_path / 'scan.h5'}: group 'dataset' has 0 acquisitions, at least 1 expected"
    assert problem_of(RawFile, tmp_path / "scan.h5") == expected


@pytest.mark.parametrize(
    ("field", "values", "sentence"),
    [
        ("data", 20, "line 200 has 20 values, but its header says 2 coils of 6 complex samples; the file is damaged"),
        ("traj", 5, "line 200 has a trajectory of 5 values, but its header says 6 samples in 0 dimensions; "
                    "the file is damaged"),
    ],
)
def test_damaged_line_is_named(scan, field, values, sentence):
    """The lines before the damage are read; the damaged one is named."""
    with h5py.File(scan, "a") as file:
        record = file["dataset/data"][200]
        record[field] = np.zeros(values, np.float32)
        file["dataset/data"][200] = record
    seen = []
    with RawFile(scan) as raw:
        assert problem_of(lambda: seen.extend(raw)) == f"{scan}: {sentence}"
    assert len(seen) == 200


def test_damaged_image_is_said(tmp_path):
    """A header that contradicts its pixels must not become a picture."""
    path = tmp_path / "images.h5"
    with ImageFile(path, XML) as file:
        file.append(image(1))
    with h5py.File(path, "a") as file:
        header = file["dataset/image_0/header"][0]
        header["matrix_size"] = (5, 4, 1)
        file["dataset/image_0/header"][0] = header
    sentence = problem_of(read_images, path)
    assert sentence.startswith(f"{path}: an image of /dataset/image_0 cannot be read (")
    assert sentence.endswith("; the file is damaged")
