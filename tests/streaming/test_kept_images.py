"""Images that a server keeps: of a scan all or none, said if none; the patient in no name; an archive gets them all."""

import json
from collections import namedtuple
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from pipelines.chain.verdict import Verdict
from pipelines.files.finished_file import FileProblem
from pipelines.files.mrd_file import read_images
from pipelines.hosts import kept_images
from pipelines.hosts.events import Ended, ImageSent, Keeper, Opened
from pipelines.hosts.journal import Journal
from pipelines.hosts.kept_files import IMAGES, stem_of
from pipelines.hosts.kept_images import KeptImages
from pipelines.hosts.retention import Retention, tidy
from pipelines.protocol.messages import encode_image
from tests.command import kband
from tests.export.scanned import FULL, slices
from tests.streaming.serving import wait_until

NAMED = FULL.replace("<protocolName>t1_tra", "<protocolName>Doe_t1")


def show(keeps: KeptImages, images, scan_id="0123") -> None:
    """Announce a scan with these images, as a server does, and wait until they are written."""
    keeps(Opened(scan_id, NAMED, "sense", "peer"))
    for image in images:
        keeps(ImageSent(scan_id, False, encode_image(image)))
    keeps(Ended(scan_id, "sense", None, Verdict(n_lines=9, n_images=len(images))))
    keeps(Opened("next", NAMED, "sense", "peer"))
    wait_until(lambda: "next" in keeps._scans)
    keeps(Ended("next", "sense", None, Verdict()))
    wait_until(lambda: "next" not in keeps._scans)


@pytest.fixture
def keeping(tmp_path):
    """Begin to keep images in `tmp_path`; all that were begun end with the test."""
    begun = []

    def begin(form="mrd", **options) -> KeptImages:
        begun.append(KeptImages(tmp_path, form, **options))
        return begun[-1]

    yield begin
    for keeps in begun:
        keeps.close(10)


def test_a_file_holds_the_images_that_were_sent(keeping, tmp_path):
    """Their pixels and comments, under the name of time and scan, without the patient; beside it the verdict."""
    images = slices(3)
    show(keeping(), images)
    path, said = sorted(tmp_path.iterdir())
    assert IMAGES.fullmatch(path.name)
    for sent, kept in zip(images, read_images(path), strict=True):
        np.testing.assert_array_equal(sent.data, kept.data)
        assert sent.attribute_string == kept.attribute_string
    assert not any(word in path.read_bytes() for word in (b"Doe", b"4711", b"1970-01-31"))
    verdict = json.loads(said.read_text())
    assert (verdict["scan"], verdict["pipeline"], verdict["images"], verdict["form"]) == ("0123", "sense", 3, "mrd")


def test_dicom_names_the_patient_inside_alone(keeping, tmp_path):
    """An archive files images by patient; whoever lists a folder need not learn who was measured."""
    pydicom = pytest.importorskip("pydicom", reason="pip install kband[export]")
    pytest.importorskip("highdicom", reason="pip install kband[export]")
    show(keeping("dicom"), slices(2))
    names = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")]
    files = [pydicom.dcmread(path) for path in tmp_path.rglob("*.dcm")]
    assert [file.PatientName for file in files] == ["Doe^Jane"] * 2
    assert not any("Doe" in name for name in names)
    assert all("Doe" not in file.SeriesDescription for file in files)


Usage = namedtuple("Usage", "total used free")


def test_a_disk_that_is_nearly_full_is_left_to_the_scans(keeping, tmp_path, monkeypatch):
    """It is said, nothing is left of the images, and the next scan is kept if there is room again."""
    keeps = keeping()
    with monkeypatch.context() as full:
        full.setattr(kept_images.shutil, "disk_usage", lambda path: Usage(0, 0, kept_images.SPARE_BYTES))
        show(keeps, slices(2))
    assert keeps.problem == "the images of a scan were not kept ([Errno 28] No space left on device)"
    assert (keeps.n_not_kept, list(tmp_path.iterdir())) == (1, [])
    assert isinstance(keeps, Keeper)  # so the server tells of it
    show(keeps, slices(2))
    assert (keeps.problem, len(list(tmp_path.iterdir()))) == (None, 2)


def test_images_come_whole_or_not_at_all(keeping, tmp_path, monkeypatch):
    """Half a scan in a folder would be taken for all of it."""

    class Breaks:
        def __enter__(self):
            return self

        def __exit__(self, kind, error, trace):
            assert kind is FileProblem

        def append(self, image):
            raise FileProblem("the disk is gone")

    monkeypatch.setattr(kept_images, "image_sink", lambda *_: Breaks())
    keeps = keeping()
    show(keeps, slices(2))
    assert keeps.problem == "the images of a scan were not kept (the disk is gone)"


def test_what_the_disk_cannot_follow_is_not_half_kept(keeping, tmp_path, monkeypatch):
    """A scan never waits for the disk; what waits is bounded."""
    monkeypatch.setattr(kept_images, "MOST_BYTES", 0)
    keeps = keeping()
    show(keeps, slices(1))
    assert keeps.problem.startswith("the images of a scan were not kept (the disk is too slow")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_goes(keeping, tmp_path):
    """Of a living one it stays."""
    stem = stem_of(datetime.now(timezone.utc), "9")
    (tmp_path / f".{stem}.{2**22 + 1}.unfinished").mkdir()
    (tmp_path / f".{stem}.h5.1.unfinished").touch()
    show(keeping(), slices(1))
    assert [path.name for path in tmp_path.glob(".*")] == [f".{stem}.h5.1.unfinished"]


def test_the_oldest_images_go_first_but_none_that_wait(tmp_path):
    """The bounds are those of kept scans; what an archive has not taken is nowhere else."""
    stems = [stem_of(datetime.now(timezone.utc) - timedelta(days=days), "0") for days in (9, 8, 1)]
    for stem in stems:
        (tmp_path / stem / "series").mkdir(parents=True)
        (tmp_path / stem / "series" / "00001.dcm").touch()
    tidy(tmp_path, Retention(max_age_s=7 * 86400), names=IMAGES, staying={stems[0]})
    assert sorted(path.name for path in tmp_path.iterdir()) == [stems[0], stems[2]]


def test_a_listed_scan_says_where_its_images_are(keeping, tmp_path):
    """One command shows what there is of a scan."""
    scans = tmp_path / "scans"
    journal = Journal.begin(scans, "0123", NAMED, pipeline="sense")
    journal.end({"lines": 9, "images": 1})
    show(keeping(), slices(1))
    images = next(tmp_path.glob("*.h5"))
    listed = kband("list", "--scans", scans, "--images", tmp_path).output
    assert listed == f"{journal.path.name}  sense, 9 lines, 1 image; images: {images}\n"


@pytest.fixture
def pacs():
    """Start an archive that answers with these statuses first; returns its address and what it was offered."""
    pytest.importorskip("pynetdicom", reason="pip install kband[export]")
    pytest.importorskip("highdicom", reason="pip install kband[export]")
    from pipelines.export.dicom_send import Archive
    from tests.export.test_dicom_send import archive, free_port

    servers = []

    def start(statuses=()):
        port = free_port()
        server, offered = archive(port, statuses)
        servers.append(server)
        return Archive("PACS", "127.0.0.1", port), offered

    yield start
    for server in servers:
        server.shutdown()


def sending_to(folder, address):
    from pipelines.hosts.image_sending import ImageSending

    return ImageSending(folder, address, first_pause=0.05)


def test_an_archive_gets_all_of_them_in_the_end(keeping, pacs, tmp_path):
    """It refuses twice: they are offered again, and the verdict says when they were taken."""
    address, offered = pacs([0xA700, 0xA700])
    show(keeping("dicom", sending=sending_to(tmp_path, address)), slices(1))
    verdict = next(tmp_path.glob("*.json"))
    wait_until(lambda: "sent" in json.loads(verdict.read_text()))
    assert len(offered) == 3


def test_what_one_server_has_not_sent_the_next_one_sends(keeping, pacs, tmp_path):
    """Nobody answers, and it says so, until the server ends; nothing is lost."""
    from pipelines.export.dicom_send import Archive
    from tests.export.test_dicom_send import free_port

    nobody = keeping("dicom", sending=sending_to(tmp_path, Archive("PACS", "127.0.0.1", free_port())))
    show(nobody, slices(2))
    wait_until(lambda: nobody.problem)
    assert nobody.problem.startswith("the images of 1 scan wait for PACS@127.0.0.1:")
    assert "nobody answers" in nobody.problem
    nobody.close(10)
    address, offered = pacs()
    next_one = sending_to(tmp_path, address)
    wait_until(lambda: not next_one.staying())
    next_one.close(10)
    assert len(offered) == 2
