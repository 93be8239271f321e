"""`kband list --scans`: what a folder of kept scans holds."""

from pipelines.hosts.journal import Journal
from tests.command import kband

HEADER = "<ismrmrdHeader/>"


def test_kept_scans_are_listed_with_their_verdicts(tmp_path):
    """The newest first; what went wrong is said, and a scan without an end as well."""
    first = Journal.begin(tmp_path, "one", HEADER, pipeline="sense")
    first.end({"lines": 64, "images": 1, "problem": "1 of 1 image incomplete"})
    Journal.begin(tmp_path, "two", HEADER, pipeline="auto")
    (tmp_path / "other.h5").touch()
    newest, oldest = kband("list", "--scans", tmp_path).output.splitlines()
    assert newest.endswith("_two.mrd  auto, not ended")
    assert oldest == f"{first.path.name}  sense, 64 lines, 1 image, 1 of 1 image incomplete"


def test_a_verdict_that_cannot_be_read_hides_no_scan(tmp_path):
    """The lines are there all the same."""
    journal = Journal.begin(tmp_path, "one", HEADER)
    journal.path.with_suffix(".json").write_text("{")
    assert kband("list", "--scans", tmp_path).output == f"{journal.path.name}  no verdict\n"


def test_an_empty_folder_says_so(tmp_path):
    """Nothing printed would look like a failure."""
    assert kband("list", "--scans", tmp_path).output == f"no kept scans in {tmp_path}\n"
