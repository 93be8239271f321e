"""A file may be damaged, or made to do harm, in any way: what comes of it is images, or one sentence."""

import faulthandler
import os
import random
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from pipelines.files import apart as reading
from pipelines.files.apart import apart
from pipelines.files.finished_file import FileProblem
from pipelines.files.mrd_file import ImageFile, read_images, write_raw
from pipelines.files.mrd_stream import open_raw
from tests.command import kband
from tests.pipelines.mrd_samples import XML, image, line, problem_of


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.h5"
    write_raw(path, XML, [line(n) for n in range(300)], reference=[image(7)])
    return path


def read_all(path):
    with open_raw(path) as raw:
        return list(raw)


def damaged(whole: bytes, seed: int) -> bytes:
    """Zero a block, or flip bits, of a file; half of the damage where most of its structure is."""
    rng, data = random.Random(seed), bytearray(whole)
    at = rng.randrange(len(data) if seed % 2 else 8192)
    if seed % 4 < 2:
        length = rng.choice([64, 512, 4096])
        start = at - at % length
        data[start : start + length] = bytes(len(data[start : start + length]))
    else:
        for place in range(at, min(at + rng.choice([1, 4, 20]), len(data))):
            data[place] ^= 1 << rng.randrange(8)
    return bytes(data)


def test_damage_is_one_sentence(scan, tmp_path, monkeypatch):
    """200 damaged files: the HDF5 library raises errors of every kind, dies, or goes round for ever."""
    monkeypatch.setattr(reading, "MOST_SECONDS", 0.3)
    whole, images, said = scan.read_bytes(), tmp_path / "images.h5", []
    with ImageFile(images, XML) as file:
        for n in range(3):
            file.append(image(n, image_series_index=1))
    for source, read in ((whole, read_all), (images.read_bytes(), read_images)):
        for seed in range(100):
            scan.write_bytes(damaged(source, seed))
            try:
                read(scan)
            except FileProblem as problem:
                said.append(str(problem))
    assert said
    assert [text for text in said if not text.startswith(f"{scan}: ") or "\n" in text] == []


def round_for_ever(path):
    yield 1
    while True:
        pass


def dies(path):
    yield 1
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


def test_reading_ends_where_the_library_does_not(monkeypatch):
    """It computes for ever in some damaged files, and no signal reaches Python there."""
    monkeypatch.setattr(reading, "MOST_SECONDS", 0.2)
    items = apart(round_for_ever, "scan.h5")
    assert next(items) == 1
    expected = "scan.h5: the HDF5 library came to no end within 0.2 s; the file is damaged"
    assert problem_of(next, items) == expected


def test_reading_outlives_the_library():
    """A process that dies takes no images with it that were made before."""
    items = apart(dies, "scan.h5")
    assert next(items) == 1
    assert problem_of(next, items) == "scan.h5: the HDF5 library died of it (exit code -11); the file is damaged"


def test_a_reader_that_is_closed_is_gone():
    """A scan that is given up leaves no process behind."""
    items = apart(os_pid, "scan.h5")
    number = next(items)
    items.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def os_pid(path):
    yield os.getpid()
    yield from round_for_ever(path)


INTERRUPTED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts tests in the background ignores it
from pipelines.files.apart import apart
def read(path):
    yield 1
    while True: pass
for _ in apart(read, "scan.h5"):
    sys.stdout.write("reading\\n"); sys.stdout.flush()
"""


def test_interrupt_ends_a_reader_that_hangs():
    """Ctrl-C comes to both processes; the one that hangs does not hear it."""
    program = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)  # fmt: skip
    assert program.stdout.readline() == b"reading\n"
    time.sleep(0.2)
    os.killpg(program.pid, signal.SIGINT)
    _, said = program.communicate(timeout=8)  # sooner than the reader's own deadline
    assert b"KeyboardInterrupt" in said


def test_lines_are_read_twice(scan):
    """An evaluation reads them once whole and once with lines left out."""
    with open_raw(scan) as raw:
        assert list(raw) == list(raw) == [line(n) for n in range(300)]
        assert len(raw.reference()) == 1


def test_links_to_other_files_are_refused(scan, tmp_path):
    """Whoever sends a file must not choose which other files of the reader are read."""
    other = tmp_path / "other.h5"
    scan.rename(other)
    with h5py.File(scan, "w") as file:
        file["dataset"] = h5py.ExternalLink(str(other), "dataset")
    expected = f"{scan}: /dataset is a link to another file; none is followed"
    assert problem_of(open_raw, scan) == problem_of(read_images, scan) == expected


@pytest.mark.parametrize("kind", ["virtual", "outside"])
def test_data_of_other_files_are_refused(kind, tmp_path):
    """In public data sets, too."""
    path, stranger = tmp_path / "volume.h5", tmp_path / "stranger"
    stranger.write_bytes(bytes(8 * 16))
    with h5py.File(path, "w") as file:
        file["ismrmrd_header"] = "<a/>"
        if kind == "virtual":
            layout = h5py.VirtualLayout((1, 1, 4, 4), np.complex64)
            layout[:] = h5py.VirtualSource(str(stranger), "kspace", (1, 1, 4, 4), np.complex64)
            file.create_virtual_dataset("dataset/kspace", layout)
        else:
            file.create_dataset("dataset/kspace", (1, 1, 4, 4), np.complex64, external=[(str(stranger), 0, 128)])
    said = {"virtual": "a virtual data set", "outside": "stored outside"}[kind]
    assert problem_of(open_raw, path) == f"{path}: /dataset/kspace is {said}; other files are not read"


def test_lengths_that_are_not_stored_are_refused(scan):
    """A file of 2 kB may announce terabytes, which would be filled with zeros."""
    with h5py.File(scan, "a") as file:
        file["dataset/data"].resize(10**12, axis=0)
    assert problem_of(open_raw, scan).startswith(f"{scan}: /dataset/data announces 31,250,000,000 chunks, but 10 ")


def test_flipped_pixels_are_noticed(tmp_path):
    """A bit that a disk has lost in a stored image must not become a finding."""
    path = tmp_path / "images.h5"
    with ImageFile(path, XML) as file:
        file.append(image(3.0))
    whole, pixels = path.read_bytes(), np.full((4, 6), 3.0, np.float32).tobytes()
    assert whole.count(pixels) == 1
    path.write_bytes(whole.replace(pixels, pixels[:-1] + b"\x41"))
    assert "image_0 cannot be read" in problem_of(read_images, path)


def test_damage_behind_some_lines_keeps_their_images(tmp_path):
    """And the sentence says which lines are lost; exit code 1."""
    path = tmp_path / "scan.h5"
    kband("simulate", "-o", path, "--matrix", 32, "--slices", 2, "--coils", 4, "--acs-lines", 12)
    with h5py.File(path, "a") as file:
        n_lines = len(file["dataset/data"])
        record = file["dataset/data"][n_lines - 1]
        record["data"] = np.zeros(3, np.float32)
        file["dataset/data"][n_lines - 1] = record
    told = kband("replay", path, "-o", tmp_path / "images.h5")
    assert told.exit_code == 1
    assert f"Error: {path}: line {n_lines - 1} has 3 values" in told.output
    assert len(read_images(tmp_path / "images.h5")) == 2
