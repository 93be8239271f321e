"""A checkpoint that is damaged is one sentence, whatever the damage looks like to the reader of pickles."""

import numpy as np
import pytest
import torch

from kband_core.training.checkpoint import load_checkpoint, save_checkpoint


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_whatever_is_damaged_is_said_in_a_sentence(tmp_path):
    """Bytes of the pickle replaced at random, 300 times: read as it was, or one sentence, never a traceback."""
    path = tmp_path / "tiny.checkpoint"
    save_checkpoint(path, {"weights": torch.arange(3.0), "step": 4, "best": {"figures": {"psnr": 30.0}}})
    whole = path.read_bytes()
    start = whole.index(b"data.pkl")
    rng, sentences = np.random.default_rng(0), []
    for _ in range(300):
        broken = bytearray(whole)
        broken[start + int(rng.integers(400))] = int(rng.integers(256))
        path.write_bytes(broken)
        try:
            load_checkpoint(path)
        except ValueError as problem:
            sentences.append(str(problem))
    assert len(sentences) > 50
    assert {sentence.removeprefix(f"{path}: ") for sentence in sentences} <= {
        "the checkpoint is damaged; start without resuming",
        "not a checkpoint of this program; start without resuming",
    }


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02}q\x00."])
def test_what_is_no_checkpoint_is_refused(content, tmp_path):
    """Nothing, a text, another pickle."""
    (tmp_path / "tiny.checkpoint").write_bytes(content)
    with pytest.raises(ValueError, match="start without resuming"):
        load_checkpoint(tmp_path / "tiny.checkpoint")


def test_another_programs_checkpoint_is_refused(tmp_path):
    """It is told by its first entry."""
    torch.save({"step": 1}, tmp_path / "theirs.checkpoint")
    with pytest.raises(ValueError, match="not a checkpoint of this program"):
        load_checkpoint(tmp_path / "theirs.checkpoint")
