"""Sending to an archive: it has all of them in the end, or the sentence says what it has not."""

import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from pipelines.export.formats import image_sink
from tests.command import kband
from tests.export.scanned import FULL, slices

pydicom = pytest.importorskip("pydicom", reason="pip install kband[export]")
pytest.importorskip("pynetdicom", reason="pip install kband[export]")
pytest.importorskip("highdicom", reason="pip install kband[export]")

from pynetdicom import AE, evt  # noqa: E402 - an extra
from pynetdicom.sop_class import CTImageStorage, MRImageStorage  # noqa: E402


@pytest.fixture
def folder(tmp_path) -> Path:
    with image_sink(tmp_path / "dicom", FULL, "dicom") as sink:
        for image in slices(3):
            sink.append(image)
    return tmp_path / "dicom"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def archive(port, statuses, storage=MRImageStorage):
    """An archive that answers with these statuses, then with success; returns it and what it was offered."""
    offered, answers = [], iter(statuses)

    def store(event):
        offered.append(event.request.AffectedSOPInstanceUID)
        return next(answers, 0x0000)

    entity = AE(ae_title="PACS")
    entity.add_supported_context(storage)
    return entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]), offered


@pytest.mark.skipif(shutil.which("storescp") is None, reason="Debian package dcmtk")
def test_an_archive_that_is_not_ours_has_all_of_them(folder, tmp_path):
    """dcmtk's storescp stores what we send, byte for byte in its data."""
    port, stored = free_port(), tmp_path / "stored"
    stored.mkdir()
    with subprocess.Popen(["storescp", "-od", stored, str(port)]) as server:
        try:
            result = kband("send", folder, "--to", f"ANY@127.0.0.1:{port}", "--pause", 0.2, "--tries", 50)
        finally:
            server.terminate()
    assert result.exit_code == 0, result.output
    assert result.stdout == f"ANY@127.0.0.1:{port} has 3 files\n"
    sent, got = ({file.SOPInstanceUID: file.PixelData for file in map(pydicom.dcmread, files)}
                 for files in (folder.rglob("*.dcm"), stored.iterdir()))  # fmt: skip
    assert sent == got


def test_what_is_not_taken_is_offered_again(folder):
    """Only that, and until it is taken."""
    port = free_port()
    server, offered = archive(port, [0x0000, 0xA700])
    try:
        result = kband("send", folder, "--to", f"PACS@127.0.0.1:{port}", "--pause", 0)
    finally:
        server.shutdown()
    assert result.exit_code == 0, result.output
    assert len(offered) == 4
    assert offered[1] == offered[3]


def test_an_archive_that_comes_later_gets_them(folder):
    """It may be starting, or the network may be down for a moment."""
    port, servers = free_port(), []

    def start():
        time.sleep(0.5)
        servers.append(archive(port, [])[0])

    starting = threading.Thread(target=start)
    starting.start()
    try:
        result = kband("send", folder, "--to", f"PACS@127.0.0.1:{port}", "--pause", 0.3, "--tries", 50)
    finally:
        starting.join()
        servers[0].shutdown()
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("statuses", "storage", "reason"),
    [
        ([0xA700] * 9, MRImageStorage, "it answers with status 0xa700"),
        ([], CTImageStorage, "it does not take files of this kind (1.2.840.10008.5.1.4.1.1.4)"),
    ],
)
def test_what_is_never_taken_is_named(folder, statuses, storage, reason):
    """How many, the first of them, and what the archive said."""
    port = free_port()
    server, _ = archive(port, statuses, storage)
    try:
        result = kband("send", folder, "--to", f"PACS@127.0.0.1:{port}", "--pause", 0, "--tries", 3)
    finally:
        server.shutdown()
    first = min(folder.rglob("*.dcm"))
    assert result.exit_code == 1
    assert result.stderr.endswith(
        f"PACS@127.0.0.1:{port} has not taken 3 of 3 files after 3 tries, first {first}: {reason}; they are still "
        "there, send them again\n"
    )


def test_nobody_there(folder):
    """As with a server of ours: one sentence."""
    result = kband("send", folder, "--to", f"PACS@127.0.0.1:{free_port()}", "--tries", 1)
    assert result.exit_code == 1
    assert ": nobody answers; they are still there" in result.output


def test_a_folder_without_images(tmp_path):
    """Nothing to send is not a success."""
    result = kband("send", tmp_path, "--to", "PACS@127.0.0.1:104")
    assert result.exit_code == 1
    assert result.output == f"Error: {tmp_path}: no DICOM files (.dcm)\n"


@pytest.mark.parametrize("address", ["archive:104", "PACS@archive", "PACS@archive:0", f"{'P' * 17}@archive:104"])
def test_an_address_has_three_parts(folder, address):
    """The form is said, with an example."""
    result = kband("send", folder, "--to", address)
    assert result.exit_code == 2
    assert f"'{address}' is no TITLE@HOST:PORT, such as PACS@archive.site:104" in result.output
