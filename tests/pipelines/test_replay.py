"""A raw file goes in, images come out, and the exit code says the truth."""

import shutil
import subprocess
from functools import partial

import h5py
import ismrmrd
import numpy as np
import pytest
from tqdm import tqdm

from gadgets.scan import Scan
from pipelines import replay
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.files.mrd_file import RawFile, read_images, write_raw
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.command import kband


@pytest.mark.parametrize("pipeline", ["sense", "grappa", "sense_buffered", "grappa_buffered"])
def test_every_pipeline_restores_the_head(raw, tmp_path, pipeline):
    """R=2, SNR 200: the images agree with the noise-free reference to a few per cent (noise and Gibbs rings)."""
    result = kband("replay", raw, "-p", pipeline, "-o", tmp_path / "images.h5")
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "images.h5") in result.output
    scores = [float(line.split("NRMSE ")[1].split(" ")[0]) for line in result.output.splitlines() if "NRMSE" in line]
    assert len(scores) == 2
    assert max(scores) < 0.06


def test_direct_and_buffered_ways_give_the_same_images(raw, tmp_path):
    """Two ways in, one k-space: pixels are equal."""
    kband("replay", raw, "-p", "sense", "-o", tmp_path / "direct.h5")
    kband("replay", raw, "-p", "sense_buffered", "-o", tmp_path / "buffered.h5")
    direct, buffered = (
        {image.slice: image.data for image in read_images(tmp_path / name)} for name in ("direct.h5", "buffered.h5")
    )
    assert direct.keys() == buffered.keys() == {0, 1}
    assert all(np.array_equal(direct[number], buffered[number]) for number in direct)


def test_images_open_with_plain_ismrmrd(raw, tmp_path):
    """What we write is MRD to others: data, header and meta."""
    kband("replay", raw, "-o", tmp_path / "images.h5")
    dataset = ismrmrd.Dataset(str(tmp_path / "images.h5"), "dataset", create_if_needed=False)
    assert dataset.number_of_images("image_1") == 2
    image = dataset.read_image("image_1", 0)
    assert image.data.shape == (1, 1, 64, 64)
    assert image.data.dtype == np.uint16
    assert ismrmrd.Meta.deserialize(image.attribute_string)["kband_method"] == "SENSE"
    ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())
    dataset.close()


def test_several_files_go_to_a_folder(raw, scan, tmp_path):
    """One output per input, named after it and the pipeline."""
    other = tmp_path / "other.h5"
    write_raw(other, scan[0], scan[1])
    result = kband("replay", raw, other, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["other_sense.h5", "scan_sense.h5"]


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_two_files_do_not_share_an_output(raw, tmp_path, options):
    """Scans of two patients bear the same name in two folders: the second must not replace the images of the first."""
    others = [tmp_path / name / "scan.h5" for name in "ab"]
    for path in others:
        path.parent.mkdir()
        shutil.copy(raw, path)
    out = tmp_path / "out"
    result = kband("replay", *others, "-o", out, *options)
    assert result.exit_code == 1
    assert f"{others[0]} and {others[1]} would both become {out / 'scan_sense.h5'}; replay them apart" in result.output
    assert not out.exists()


def test_folder_that_cannot_be_made_is_said(raw, tmp_path):
    """Several images do not fit one file."""
    shutil.copy(raw, tmp_path / "other.h5")
    result = kband("replay", raw, tmp_path / "other.h5", "-o", raw)
    assert result.exit_code == 1
    assert f"{raw}: no folder can be made (File exists)" in result.output


def no_hdf5(path):
    path.write_bytes(b"not HDF5")


def no_header(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("dataset/xml", (0,), h5py.string_dtype())


@pytest.mark.parametrize(
    ("spoil", "sentence"), [(no_hdf5, "not an HDF5 file"), (no_header, "group 'dataset' has no MRD header")]
)
def test_one_bad_file_does_not_stop_the_others(raw, tmp_path, spoil, sentence):
    """The good one is written, the bad one named, the exit code is 1."""
    spoil(tmp_path / "bad.h5")
    result = kband("replay", tmp_path / "bad.h5", raw, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert f"bad.h5: {sentence}" in result.output
    assert len(read_images(tmp_path / "out" / "scan_sense.h5")) == 2


def damage(path, number):
    """Tear off the samples of a line and all behind it, as a disk that fills does."""
    with h5py.File(path, "a") as file:
        for n in range(number, len(file["dataset/data"])):
            record = file["dataset/data"][n]
            record["data"] = record["data"][:10]
            file["dataset/data"][n] = record


def test_damaged_file_gives_what_could_be_made(raw, tmp_path):
    """A line near the end is torn: the first slice comes as of the whole file, the second is marked, the exit is 1."""
    kband("replay", raw, "-o", tmp_path / "whole.h5")
    with RawFile(raw) as file:
        number = len(file) - 3
    damage(raw, number)
    result = kband("replay", raw, "-o", tmp_path / "images.h5")
    assert result.exit_code == 1
    assert f"Error: {raw}: line {number} has 10 values" in result.output
    first, second = read_images(tmp_path / "images.h5")
    assert [image.meta["kband_complete"] for image in (first, second)] == ["yes", "no"]
    assert np.array_equal(first.data, read_images(tmp_path / "whole.h5")[0].data)


def test_file_damaged_from_its_first_line_is_said(raw, tmp_path):
    """The damage is the sentence, not what a scan without lines lacks."""
    damage(raw, 0)
    result = kband("replay", raw, "-o", tmp_path / "images.h5")
    assert result.exit_code == 1
    assert f"Error: {raw}: line 0 has 10 values" in result.output
    assert not (tmp_path / "images.h5").exists()


def test_existing_output_is_kept(raw, tmp_path):
    """Images on disk are replaced only on request."""
    kband("replay", raw, "-o", tmp_path / "images.h5")
    before = (tmp_path / "images.h5").read_bytes()
    result = kband("replay", raw, "-o", tmp_path / "images.h5")
    assert result.exit_code == 1
    assert "exists already" in result.output
    assert (tmp_path / "images.h5").read_bytes() == before
    assert kband("replay", raw, "-o", tmp_path / "images.h5", "--overwrite").exit_code == 0


def test_a_raw_file_is_never_replaced_by_its_images(raw, tmp_path):
    """Whatever may be overwritten, and under whatever name: who lost the raw data can reconstruct nothing any more."""
    before = raw.read_bytes()
    link = tmp_path / "link.h5"
    link.symlink_to(raw)
    for target in (raw, link):
        result = kband("replay", raw, "-o", target, "--overwrite")
        assert result.exit_code == 1
        assert f"{target}: is a file to be read, and would be lost" in result.output
    assert raw.read_bytes() == before


def test_a_result_among_the_inputs_does_not_stop_the_others(raw, tmp_path):
    """As when a folder is replayed a second time: the new file in it is replayed, the old result is refused."""
    kband("replay", raw, "-o", tmp_path)
    other = tmp_path / "other.h5"
    shutil.copy(raw, other)
    result = kband("replay", *sorted(tmp_path.glob("*.h5")), "-o", tmp_path, "--overwrite")
    assert result.exit_code == 1
    assert "is a file to be read, and would be lost" in result.output
    assert len(read_images(tmp_path / "other_sense.h5")) == 2


def test_a_reference_of_another_size_is_not_compared(scan, tmp_path):
    """One sentence for the slice; the images are good, and the exit code says so."""
    header, lines, reference = scan
    small = [ismrmrd.Image.from_array(image.data[..., :-2], transpose=False) for image in reference]
    for one, image in zip(small, reference, strict=True):
        one.slice, one.image_type = image.slice, image.image_type
    write_raw(tmp_path / "scan.h5", header, lines, reference=small)
    result = kband("replay", tmp_path / "scan.h5", "-o", tmp_path / "images.h5")
    assert result.exit_code == 0, result.output
    assert "slice 0: the image has 64 x 64 pixels (y, x), but its reference 64 x 62, so it is not" in result.output


def test_unknown_pipeline_is_named_with_those_there_are(raw, tmp_path):
    """A typing error costs one line of reading."""
    result = kband("replay", raw, "-p", "sens", "-o", tmp_path / "images.h5")
    assert result.exit_code == 1
    assert "no pipeline 'sens'; installed are active, active_warm, auto, auto_warm, epi_grappa, " in result.output


def test_xml_file_may_be_given(raw, tmp_path):
    """A pipeline of one's own: a bare chain that stops at complex images."""
    chain = ["AcquisitionBuffer", "CoilSensitivities", "SenseRecon", "ImageArraySplit"]
    xml = "".join(f"<gadget><classname>{name}</classname></gadget>" for name in ["RemoveROOversampling", *chain])
    (tmp_path / "mine.xml").write_text(f"<configuration>{xml}</configuration>")
    result = kband("replay", raw, "-p", tmp_path / "mine.xml", "-o", tmp_path / "images.h5")
    assert result.exit_code == 0, result.output
    assert read_images(tmp_path / "images.h5")[0].data.dtype == np.complex64


def test_shepp_logan_of_ismrmrd_tools_goes_in_unchanged(tmp_path):
    """The field's standard test file: R=2, two repetitions of shifted lines, noise scan, header version 8."""
    generator = shutil.which("ismrmrd_generate_cartesian_shepp_logan")
    if generator is None:
        pytest.skip("ismrmrd-tools not installed")
    options = ["-m", "64", "-c", "4", "-a", "2", "-w", "20", "-r", "1", "-n", "0.001", "-C", "-o"]
    subprocess.run([generator, *options, str(tmp_path / "shepp.h5")], check=True, capture_output=True)
    result = kband("replay", tmp_path / "shepp.h5", "-o", tmp_path / "images.h5")
    assert result.exit_code == 0, result.output
    first, second = (image.data[0, 0].astype(float) for image in read_images(tmp_path / "images.h5"))
    assert np.linalg.norm(first - second) < 0.05 * np.linalg.norm(first)


def test_noise_is_whitened_to_one(tmp_path):
    """SD 1 per component after the scanner's dwell rule: a scan of pure noise, complex, combined with unit weights."""
    protocol = Protocol(matrix=64, n_coils=4, n_slices=1, acceleration=1, snr=1e-4)
    header, lines, _ = simulate_scan(protocol)
    write_raw(tmp_path / "noise.h5", header, lines)
    chain = ["NoiseAdjust", "RemoveROOversampling", "AcquisitionBuffer"]
    xml = "".join(f"<gadget><classname>{name}</classname></gadget>" for name in chain)
    pipeline = Pipeline.from_xml(f"<configuration>{xml}</configuration>")
    with RawFile(tmp_path / "noise.h5") as file:
        *_, buffer = run(pipeline, Scan.from_xml(file.header_xml), file, Verdict())
    sd = buffer.kspace.real.std(dim=(-2, -1)).flatten()
    # The noise scan has 16 × 128 samples a coil: its SD is known to 1/√(4·2048) = 1.1 %, the image's to 0.8 %.
    assert (sd - 1).abs().max() < 0.06


def test_images_are_counted_where_they_are_waited_for(monkeypatch, capsys):
    """Maps of g take longer than all lines; of images that come at once no bar is shown."""
    monkeypatch.setattr(replay, "tqdm", partial(tqdm, disable=False))
    assert list(replay._counted(iter("abc"))) == ["a", "b", "c"]
    assert "image" not in capsys.readouterr().err
    monkeypatch.setattr(replay, "LONG_WAIT", 0)
    assert list(replay._counted(iter("abc"))) == ["a", "b", "c"]
    assert "images: 1image" in capsys.readouterr().err
