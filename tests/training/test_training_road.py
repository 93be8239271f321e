"""What may happen to a training on its way: bad luck, full disks, another training, other planes."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import yaml

from kband_core.training import checkpoint, history, state
from kband_core.training.dataset import PlaneFile, PlaneWriter
from kband_core.training.divergence import Divergence
from kband_core.training.history import read_history
from kband_core.training.peers import no_better_than_sense
from kband_core.training.processes import Processes
from kband_core.training.simulation.procedural import procedural_plane
from kband_core.training.trainer import train
from kband_core.training.undersampling import Undersampling
from kband_core.training.validation import Validation
from tests.training.tiny import tiny_recipe


def run(folder, recipe=None, **options):
    return train(recipe or tiny_recipe(), folder, device="cpu", n_workers=0, **options)


def weights(folder):
    return torch.load(folder / "tiny.checkpoint", weights_only=True)["network"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder, run(folder)


@pytest.mark.parametrize("sampling", ["lines", "mixed"])
def test_no_draw_is_unlucky(sampling):
    """16 ACS lines fit 64 lines up to R=4.13; what is drawn beyond is lowered to that, what lies below stays."""
    drawn = Undersampling(line_acceleration=(2, 4.5), acs_lines=(16, 24), sampling=sampling)
    masks = [drawn.draw((64, 64), torch.Generator().manual_seed(seed)).lines() for seed in range(100)]
    assert all(mask[24:40].all() for mask in masks)


def test_lines_that_never_have_room_are_told_before_the_first_step(tmp_path):
    """Every draw would fail: one sentence, before anything is written."""
    recipe = tiny_recipe(supervision={"line_acceleration": [4, 5], "acs_lines": [16, 20], "sampling": "lines"})
    with pytest.raises(ValueError, match=r"16 ACS lines at acceleration 4 have no room in k-space of 32 x 32"):
        run(tmp_path, recipe)


@pytest.mark.parametrize("where", ["between", "validation"])
def test_an_error_loses_no_step(where, tmp_path, uninterrupted, monkeypatch):
    """Whatever it is: the checkpoint is of the last whole step, and resumed every bit is that of one call."""

    def fail(step, *_):
        if step == 3:
            raise MemoryError

    with monkeypatch.context() as patch:
        if where == "validation":
            patch.setattr(Validation, "judge", lambda *_: fail(3))
        with pytest.raises(MemoryError):
            run(tmp_path, tell=fail)
    folder, whole = uninterrupted
    resumed = run(tmp_path, resume=True)
    assert resumed.figures == whole.figures
    ours, theirs = weights(tmp_path), weights(folder)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    steps, losses = ([row[key] for row in read_history(tmp_path / "log.csv")] for key in ("step", "loss"))
    assert steps == ["2", "4", "6"]
    assert losses == [row["loss"] for row in read_history(folder / "log.csv")]


def test_half_a_step_is_not_kept(tmp_path, monkeypatch):
    """Weights after a step whose counters are those before it would take that step twice."""
    monkeypatch.setattr(state.MovingAverage, "update", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path)
    assert not (tmp_path / "tiny.checkpoint").exists()


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    """The log of a training that goes on is not emptied by it."""
    run(tmp_path)
    before = read_history(tmp_path / "log.csv")

    class Full(history.csv.DictWriter):
        def writerows(self, rows):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(history.csv, "DictWriter", Full)
    with pytest.raises(ValueError, match=rf"{tmp_path}: cannot be written \(No space left on device\)"):
        run(tmp_path, tiny_recipe(optimiser={"steps": 8}), resume=True)
    assert read_history(tmp_path / "log.csv") == before


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    """A name given twice, a typing error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file/models: cannot be written \(Not a directory\)"):
        run(tmp_path / "file" / "models")


def test_two_trainings_do_not_share_a_folder(tmp_path):
    """They would tear log and checkpoint of one another. When the first ends, or is killed, the folder is free."""
    script = (
        "import sys, pathlib; from kband_core.training.folder import held_folder\n"
        "with held_folder(pathlib.Path(sys.argv[1]), writes=True): print('held', flush=True); input()"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with first:
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="another training writes here; give this one another folder"):
            run(tmp_path)
        first.kill()
    assert run(tmp_path).step == 6


def test_other_samples_are_other_planes(tmp_path):
    """Of the same subjects, sizes and masks: whitened otherwise, say. A training must not go on with them unsaid."""
    plane = procedural_plane((32, 33), n_coils=2, rng=torch.Generator().manual_seed(0))
    digests = []
    for name, factor in (("ours", 1), ("again", 1), ("scaled", 2)):
        with PlaneWriter(tmp_path / f"{name}.h5") as writer:
            writer.append(replace(plane, kspace=factor * plane.kspace))
        digests.append(PlaneFile(tmp_path / f"{name}.h5").digest())
    assert digests[0] == digests[1] != digests[2]


def test_sense_stands_beside_every_validation(uninterrupted):
    """400 steps gave SENSE to the last digit, and looked like success."""
    folder, outcome = uninterrupted
    rows, card = read_history(folder / "log.csv"), yaml.safe_load((folder / "tiny.yaml").read_text())
    assert all(float(row["sense_psnr"]) > float(row["zero_filled_psnr"]) > 0 for row in rows)
    assert len({row["sense_psnr"] for row in rows}) == 1
    assert card["metrics"]["sense_psnr"] == outcome.figures["sense_psnr"]
    assert card.get("warning") == no_better_than_sense(outcome.figures)


@pytest.mark.parametrize(
    ("figures", "warned"),
    [
        ({"psnr": 30.0, "sense_psnr": 30.0}, True),
        ({"psnr": 31.0, "sense_psnr": 30.0}, False),
        ({"validation_loss": 0.2, "sense_validation_loss": 0.2}, True),
        ({"validation_loss": 0.1, "sense_validation_loss": 0.2}, False),
        ({"psnr": 30.0}, False),
    ],
)
def test_a_network_that_does_not_beat_sense_is_warned_of(figures, warned):
    """By a tenth of a decibel, or a hundredth of the loss."""
    assert bool(no_better_than_sense(figures)) == warned


def test_divergence_is_named_while_losses_are_numbers():
    """Ten losses that are ten times the lowest ten are no scatter; a single one may be; and it is said once."""
    told, losses = Divergence(), [*20 * [1.0], 50.0, *10 * [1.0], float("nan"), *20 * [12.0]]
    assert [step for step, loss in enumerate(losses) if told.problem(loss)] == [40]


def test_a_peer_that_is_gone_is_one_sentence(monkeypatch):
    """Else each of the others shows a traceback of the network library."""

    def gone(_):
        raise RuntimeError("[../third_party/gloo] Connection closed by peer [127.0.0.1]:5555")

    monkeypatch.setattr("torch.distributed.all_reduce", gone)
    with pytest.raises(ValueError, match=r"process 0 of 2: another process of this training ended, .*; go on with"):
        Processes(0, 2, torch.device("cpu")).sum(torch.zeros(1))


def test_a_checkpoint_on_a_full_disk_is_an_os_error(tmp_path, monkeypatch):
    """Torch, writing by itself, raises something else; and the checkpoint before it stays."""
    checkpoint.save_checkpoint(tmp_path / "one.checkpoint", {"step": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save_checkpoint(tmp_path / "one.checkpoint", {"step": 2})
    assert checkpoint.load_checkpoint(tmp_path / "one.checkpoint")["step"] == 1


def test_no_room_to_share_examples_ends_with_a_sentence(tmp_path):
    """A limit to files is one of shared memory as well: the trainer does not wait for what cannot come."""
    code = f"""
import resource
from pathlib import Path
from kband_core.training.trainer import train
from tests.training.tiny import tiny_recipe
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    train(tiny_recipe(), Path({str(tmp_path)!r}), device="cpu", n_workers=1)
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("no room to hand an example from process to process (unable to ")
    assert done.stdout.endswith("; --workers 0 needs none\n")
