"""`kband serve` says before the first scan what it cannot do."""

import socket

from tests.command import kband

QUIET = ("--port", "0", "--monitor-port", "0", "--workers", "1")


def test_folder_that_cannot_hold_scans_is_named(tmp_path):
    """Which one, why, and what to do: a typing error there costs every scan of the day."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "scans"
    result = kband("serve", *QUIET, "--save", folder)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: no scans can be kept in {folder} (Not a directory); name another folder by --save, or give --no-save\n"
    )


def test_folder_that_is_there_is_tried():
    """It may be of another user, or of a file system that takes nothing."""
    result = kband("serve", *QUIET, "--save", "/proc/self")
    assert result.exit_code == 1
    assert result.output.startswith("Error: no scans can be kept in /proc/self (")


def test_port_that_is_taken_is_said():
    """That is another sentence."""
    with socket.create_server(("localhost", 0)) as listener:
        taken = str(listener.getsockname()[1])
        result = kband("serve", *QUIET[2:], "--port", taken, "--no-save")
    assert result.exit_code == 1
    assert result.output.startswith("Error: cannot listen: ")


def test_a_page_for_others_needs_a_token():
    """It shows images of patients."""
    result = kband("serve", *QUIET, "--no-save", "--page", "0", "--page-address", "0.0.0.0")
    assert result.exit_code == 1
    assert result.output == "Error: --page-address: 0.0.0.0 can be reached by others; set --page-token\n"


def test_a_missing_package_is_named(monkeypatch):
    """The page is an extra."""
    monkeypatch.setattr("pipelines.page.page.NEEDED", ("not_there",))
    result = kband("serve", *QUIET, "--no-save", "--page", "0")
    assert result.exit_code == 1
    assert result.output == "Error: not_there missing, and the page needs it: pip install kband[page]\n"


def test_images_have_a_folder_of_their_own(tmp_path):
    """Kept scans are recovered and deleted by their names; images among them would be taken for some."""
    result = kband("serve", *QUIET, "--save", tmp_path, "--save-images", tmp_path)
    assert result.exit_code == 2
    assert f"--save-images: {tmp_path} keeps the scans; name another folder" in result.output


def test_an_archive_takes_dicom_alone(tmp_path):
    """What is not kept cannot be sent later, when the archive is there again."""
    result = kband("serve", *QUIET, "--no-save", "--save-images", tmp_path, "--send-images", "PACS@127.0.0.1:104")
    assert result.exit_code == 2
    assert "--send-images sends what is kept as DICOM: give --save-images and --image-format dicom" in result.output
