"""Where images go is one choice, by the form that is wanted; `kband replay` knows no more of it than that."""

from pipelines.export.formats import image_sink
from pipelines.files.mrd_file import ImageFile
from tests.command import kband


def test_images_go_to_an_mrd_file(tmp_path):
    """Whatever its ending: sites have their own."""
    for name in ("images.h5", "images.mrd", "images"):
        assert isinstance(image_sink(tmp_path / name, "<ismrmrdHeader/>"), ImageFile)


class Notebook:
    """A sink that notes slices, and when it is closed."""

    def __init__(self) -> None:
        self.notes: list[object] = []

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.notes.append("closed")

    def append(self, image) -> None:
        self.notes.append(image.slice)


def test_replay_needs_nothing_else_of_a_sink(monkeypatch, raw, tmp_path):
    """It counts and compares the images as they come, and reads nothing back."""
    sink = Notebook()
    monkeypatch.setattr("pipelines.replay.image_sink", lambda *_, **__: sink)
    result = kband("replay", raw, "-o", tmp_path / "images.h5")
    assert result.exit_code == 0, result.output
    assert result.output.count("against the reference") == 2
    assert sink.notes == [0, 1, "closed"]
    assert list(tmp_path.glob("images*")) == []
