"""MRD files: what is written is read, by us and by the stock library."""

import h5py
import ismrmrd
import numpy as np
import pytest

from pipelines.files.mrd_file import ImageFile, RawFile, read_images, write_raw
from tests.pipelines.mrd_samples import XML, image, line, problem_of


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.h5"
    write_raw(path, XML, [line(n) for n in range(300)], reference=[image(7)])
    return path


@pytest.mark.parametrize("dimensions", [0, 2])
def test_lines_come_back_in_file_order(tmp_path, dimensions):
    """Headers, samples and trajectories survive the file bit by bit, over more than one block."""
    lines = [line(n, dimensions) for n in range(300)]
    write_raw(tmp_path / "scan.h5", XML, lines)
    with RawFile(tmp_path / "scan.h5") as raw:
        assert len(raw) == 300
        assert raw.header_xml == XML
        assert raw.reference() == []
        assert list(raw) == lines


def test_stock_library_reads_our_lines(scan):
    """Others read the file with plain ismrmrd."""
    with ismrmrd.Dataset(scan, mode="r") as dataset:
        assert dataset.read_xml_header() == XML.encode()
        assert dataset.number_of_acquisitions() == 300
        assert dataset.read_acquisition(299) == line(299)
        with ismrmrd.File(scan, "r") as file:
            assert file["dataset"].acquisitions[7] == line(7)


def test_we_read_lines_of_the_stock_library(tmp_path):
    """Converters append line by line; the group may have any name if it is the only one."""
    with ismrmrd.Dataset(tmp_path / "scan.h5", "2026-01-31 10:00:00") as dataset:
        dataset.write_xml_header(XML)
        for n in range(3):
            dataset.append_acquisition(line(n))
    with RawFile(tmp_path / "scan.h5") as raw:
        assert raw.group == "2026-01-31 10:00:00"
        assert list(raw) == [line(n) for n in range(3)]


@pytest.mark.parametrize("numbers", ["<f8", ">f4", ">f8"])
def test_samples_are_read_by_the_type_the_file_says(scan, numbers):
    """Other writers store double precision, or the bytes the other way round."""
    with h5py.File(scan, "a") as file:
        rows = file["dataset/data"][()]
        head = rows.dtype["head"].newbyteorder(numbers[0])
        vlen = h5py.vlen_dtype(np.dtype(numbers))
        stored = np.empty(rows.shape, [("head", head), ("traj", vlen), ("data", vlen)])
        stored["head"] = rows["head"]
        for name in ("traj", "data"):
            for n, values in enumerate(rows[name]):
                stored[name][n] = values.astype(numbers)
        del file["dataset/data"]
        file["dataset"].create_dataset("data", data=stored)
    with RawFile(scan) as raw:
        assert list(raw) == [line(n) for n in range(300)]


def test_real_scan_is_read(real_scans):
    """A scanner's own file, as Gadgetron wrote it."""
    with RawFile(real_scans / "phantom_ssfp_r3_acs_noise_14ch.h5") as raw:
        lines = list(raw)
        assert len(lines) == len(raw) == 69
        assert lines[0].is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        assert "<protocolName>SNR_R3</protocolName>" in raw.header_xml


def test_reference_lies_beside_the_lines(scan):
    """References are found where they are meant to be, and never mistaken for images of the scan."""
    with RawFile(scan) as raw:
        (reference,) = raw.reference()
    np.testing.assert_array_equal(reference.data, image(7).data)
    assert problem_of(read_images, scan) == f"{scan}: raw lines, no images; reconstruct them first with kband replay"


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32, np.float64, np.complex64])
def test_images_come_back(tmp_path, dtype):
    """Pixels, headers and meta survive, for us and for the stock library."""
    path = tmp_path / "images.h5"
    images = [image(value, dtype, image_series_index=1, image_index=value) for value in (1, 2)]
    with ImageFile(path, XML) as file:
        for each in images:
            file.append(each)
    assert [each.data.tolist() for each in read_images(path)] == [each.data.tolist() for each in images]
    assert [each.meta for each in read_images(path)] == [each.meta for each in images]
    with ismrmrd.Dataset(path, mode="r") as dataset:
        assert dataset.read_xml_header() == XML.encode()
        stock = dataset.read_image("image_1", 1)
        assert stock.image_index == 2
        assert stock.meta["note"] == "Größe 2"
        np.testing.assert_array_equal(stock.data, images[1].data)


def test_stock_file_reader_opens_our_images(tmp_path):
    """The newer reader of ismrmrd decodes attributes as ASCII; ours are, though the meta are not."""
    with ImageFile(tmp_path / "images.h5", XML) as file:
        file.append(image(1, image_series_index=1))
    with ismrmrd.File(tmp_path / "images.h5", "r") as stock:
        assert stock["dataset"]["image_1"].images[0].meta["note"] == "Größe 1"


def test_series_and_sizes_are_kept_apart(tmp_path):
    """One variable holds images of one series, size and type; files are read by the number of the series."""
    path = tmp_path / "images.h5"
    with ImageFile(path, XML) as file:
        file.append(image(1, image_series_index=10))
        file.append(image(2, image_series_index=2))
        file.append(image(3, np.uint16, image_series_index=2))
        file.append(image(4, shape=(1, 1, 2, 2), image_series_index=2))
        file.append(image(5, image_series_index=2))
    with h5py.File(path) as file:
        assert set(file["dataset"]) == {"xml", "image_10", "image_2", "image_2_1", "image_2_2"}
    assert [each.data.flat[0] for each in read_images(path)] == [2, 5, 3, 4, 1]


def test_images_of_the_gadgetron_client_are_read(tmp_path):
    """The client names the group after the date and writes no header."""
    with ismrmrd.Dataset(tmp_path / "out.h5", "2026-01-31 10:00:00") as dataset:
        dataset.append_image("image_0", image(1, np.uint16))
        dataset.append_image("image_0", image(2, np.uint16))
        dataset.append_image("image_1", image(3, np.complex64))
    assert [each.data.flat[0] for each in read_images(tmp_path / "out.h5")] == [1, 2, 3]


def test_killed_run_leaves_no_half_file(tmp_path):
    """Under its name a file is complete; what was there before stays until then."""
    path = tmp_path / "images.h5"
    with ImageFile(path, XML) as file:
        file.append(image(1))

    def break_off() -> None:
        with ImageFile(path, XML, overwrite=True) as file:
            file.append(image(2))
            raise ConnectionError("scanner gone")

    with pytest.raises(ConnectionError, match="scanner gone"):
        break_off()
    assert [each.data.flat[0] for each in read_images(path)] == [1]
    assert [each.name for each in tmp_path.iterdir()] == ["images.h5"]


def test_existing_file_is_refused_unless_overwritten(tmp_path):
    """Patient data are not overwritten by accident."""
    path = tmp_path / "images.h5"
    for overwrite in (False, True):
        with ImageFile(path, XML, overwrite=overwrite) as file:
            file.append(image(overwrite))
    assert read_images(path)[0].data.flat[0] == 1
    expected = f"{path}: exists already; give another name, or allow to overwrite it"
    assert problem_of(ImageFile(path, XML).__enter__) == expected
    assert problem_of(write_raw, path, XML, [line(0)]) == expected
