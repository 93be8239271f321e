"""What a gadget does that nobody foresaw ends a replay in one sentence."""

from gadgets.stock.image_finish import ImageFinish
from pipelines.files.mrd_file import read_images
from tests.command import kband


def test_images_that_were_made_stay_when_a_gadget_fails(raw, tmp_path, monkeypatch):
    """A fault that nobody foresaw costs what comes behind it, and is one sentence."""

    def fail_behind_the_first(self, images):
        yield next(iter(images))
        raise ZeroDivisionError("no such scan")

    monkeypatch.setattr(ImageFinish, "process", fail_behind_the_first)
    result = kband("replay", raw, "-o", tmp_path / "images.h5")
    assert result.exit_code == 1
    assert f"Error: {raw}: internal error, ZeroDivisionError: no such scan" in result.output
    assert len(read_images(tmp_path / "images.h5")) == 1
