"""`kband train` as a user meets it: a model and a sentence, or one sentence."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import h5py
import pytest
import torch
import yaml

from kband_core.training.dataset import PlaneFile, PlaneWriter
from kband_core.training.history import COLUMNS, read_history
from kband_core.training.simulation.procedural import procedural_plane
from kband_core.training.subjects import split_subjects
from tests.command import kband
from tests.training.tiny import TINY

KBAND = {"name": "kband", "band_acceleration": 3, "line_acceleration": 2, "acs_lines": 8}


@pytest.fixture
def recipe(tmp_path):
    """The tiny recipe in a file."""
    return write_recipe(tmp_path / "tiny.yaml", {})


def write_recipe(path, changes):
    path.write_text(yaml.safe_dump({**TINY, **changes}))
    return path


@pytest.fixture
def planes(tmp_path):
    """Three subjects' fully sampled planes of odd size."""
    rng = torch.Generator().manual_seed(0)
    with PlaneWriter(tmp_path / "planes.h5") as writer:
        for subject in "abc":
            writer.append(replace(procedural_plane((35, 33), n_coils=2, rng=rng), subject=subject))
    return tmp_path / "planes.h5"


def test_train_writes_a_model(tmp_path, recipe):
    """Weights, card, log, checkpoint; and a sentence that says how good it is."""
    told = kband("train", recipe, "-o", tmp_path / "models", "--steps", 2, "--workers", 0, "--device", "cpu")
    assert told.exit_code == 0, told.output
    assert "tiny: 2 of 2 steps in" in told.output
    assert "psnr" in told.output
    made = {path.name for path in (tmp_path / "models").iterdir()}
    assert made >= {"tiny.safetensors", "tiny.yaml", "tiny.checkpoint", "log.csv"}
    (row,) = read_history(tmp_path / "models" / "log.csv")
    assert tuple(row) == COLUMNS


def test_a_training_is_not_overwritten(tmp_path, recipe):
    """Hours of work stand behind a checkpoint: going on or starting anew is the user's choice."""
    call = ("train", recipe, "-o", tmp_path / "models", "--steps", 1, "--workers", 0, "--device", "cpu")
    kband(*call)
    again = kband(*call)
    assert again.exit_code == 1
    assert again.output.startswith("Error: ")
    assert "a checkpoint of tiny exists; --resume or --overwrite it" in again.output
    assert "1 of 1 step in" in kband(*call, "--resume").output
    other = kband(*call, "--resume", "--seed", 5)
    assert "the checkpoint is of another recipe, other planes, another fold or an earlier version" in other.output


def test_a_training_goes_on_with_more_steps(tmp_path, recipe):
    """Whoever sees that three steps were too few does not begin again; of fewer than are done there is no way back."""
    call = ("train", recipe, "-o", tmp_path / "models", "--workers", 0, "--device", "cpu", "--steps")
    kband(*call, 2)
    assert "3 of 3 steps" in kband(*call, 3, "--resume").output
    told = kband(*call, 1, "--resume")
    assert told.exit_code == 1
    assert told.output == f"Error: {tmp_path / 'models' / 'tiny.checkpoint'}: 3 steps are done, but 1 wanted\n"


def test_a_training_without_a_model_fails(tmp_path, recipe):
    """Whoever calls it from a script must not go on as if there were one."""
    call = ("train", recipe, "-o", tmp_path / "models", "--steps", 1, "--workers", 0, "--device", "cpu")
    kband(*call)
    path = tmp_path / "models" / "tiny.checkpoint"
    torch.save({**torch.load(path, weights_only=True), "best": {}}, path)
    told = kband(*call, "--resume")
    assert told.exit_code == 1
    assert "Error: tiny: no model was written, for no validation has judged one\n" in told.output


def test_a_damaged_checkpoint_is_one_sentence(tmp_path, recipe):
    """Whole as a file, but of another network, or of nothing."""
    call = ("train", recipe, "-o", tmp_path / "models", "--steps", 1, "--workers", 0, "--device", "cpu")
    kband(*call)
    path = tmp_path / "models" / "tiny.checkpoint"
    content = torch.load(path, weights_only=True)
    for damaged in ({**content, "network": {}}, {key: content[key] for key in ("format", "identity")}):
        torch.save(damaged, path)
        told = kband(*call, "--resume")
        assert told.exit_code == 1
        assert told.output == f"Error: {path}: the checkpoint is damaged; start without resuming\n"
    torch.save({"format": content["format"]}, path)
    assert "the checkpoint is of another recipe" in kband(*call, "--resume").output


def test_other_planes_of_the_same_name_do_not_go_on(tmp_path, planes, recipe):
    """Split anew, subjects that were trained on would judge the network; the same file elsewhere splits as before."""
    call = ("train", recipe, "-o", tmp_path / "models", "--steps", 1, "--workers", 0, "--device", "cpu")
    assert kband(*call, "--planes", planes).exit_code == 0
    moved = planes.rename(tmp_path / "moved.h5")
    again = kband(*call, "--resume", "--planes", moved)
    assert again.exit_code == 0, again.output
    with PlaneWriter(planes) as writer:
        for plane in PlaneFile(moved):
            writer.append(replace(plane, subject=plane.subject.upper()))
    with PlaneWriter(tmp_path / "half.h5") as writer:
        for plane in PlaneFile(moved):
            mask = plane.mask & (torch.arange(len(plane.mask)) % 2 == 0)[:, None]
            writer.append(replace(plane, kspace=plane.kspace * mask, mask=mask))
    for others in (planes, tmp_path / "half.h5"):
        told = kband(*call, "--resume", "--planes", others)
        assert told.exit_code == 1
        assert "the checkpoint is of another recipe, other planes, another fold or an earlier version" in told.output


def test_a_training_that_is_stopped_early_has_not_failed(tmp_path, planes, recipe, monkeypatch):
    """Before the first validation there is no model, and whoever stopped it goes on later: exit code 0."""
    monkeypatch.setattr("kband_core.training.trainer.train", stopped_at_once)
    told = kband("train", recipe, "-o", tmp_path / "models", "--planes", planes, "--device", "cpu")
    assert told.exit_code == 0, told.output
    assert "stopped; go on with --resume" in told.output


def stopped_at_once(*_args, **_options):
    return SimpleNamespace(step=0, n_steps=4, n_skipped=0, seconds=0.0, figures={})


def test_sigpy_is_missed_before_the_first_step(tmp_path, monkeypatch):
    """One sentence that names the extra."""
    monkeypatch.setitem(sys.modules, "sigpy", None)
    recipe = write_recipe(tmp_path / "tiny.yaml", {"supervision": {**KBAND, "sampling": "poisson"}})
    told = kband("train", recipe, "-o", tmp_path / "models", "--workers", 1, "--device", "cpu")
    assert told.exit_code == 1
    assert told.output.endswith("sampling: SigPy draws 'poisson' and is missing; pip install kband[train]\n")
    assert told.output.count("\n") == 1


def test_kband_trains_from_bands_alone(tmp_path, planes):
    """Planes that are bands, as a scanner can acquire them, have no reference: the loss on held-out bands judges."""
    with PlaneWriter(tmp_path / "bands.h5") as writer:
        for plane in PlaneFile(planes):
            columns = (torch.arange(33) - 16).abs() <= 6
            mask = columns.expand(35, 33)
            writer.append(replace(plane, kspace=plane.kspace * mask, mask=mask, angle=0.0, band_acceleration=3.0))
    recipe = write_recipe(tmp_path / "tiny.yaml", {"supervision": KBAND})
    told = kband("train", recipe, "-o", tmp_path, "--planes", tmp_path / "bands.h5", "--workers", 0, "--device", "cpu")
    assert told.exit_code == 0, told.output
    rows = read_history(tmp_path / "log.csv")
    assert all(float(row["validation_loss"]) > 0 and row["psnr"] == "" for row in rows)


def test_every_fold_holds_out_another(tmp_path, planes, recipe):
    """One model per fold, each judged on other subjects."""
    figures = []
    for fold in range(3):
        folder = tmp_path / str(fold)
        told = kband("train", recipe, "-o", folder, "--planes", planes, "--fold", fold, "--folds", 3, "--steps", 1,
                     "--workers", 0, "--device", "cpu")  # fmt: skip
        assert told.exit_code == 0, told.output
        figures.append(read_history(folder / "log.csv")[-1]["nmse"])
    assert len(set(figures)) == 3


def one_subject(path):
    with PlaneWriter(path) as writer:
        writer.append(procedural_plane((33, 35), n_coils=2, rng=torch.Generator().manual_seed(0)))
    return path


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--planes", "absent.h5"), "absent.h5: no such file; make it with kband prepare"),
        (("--planes", one_subject), "only one subject, procedural, but one to train on and another to hold out needed"),
        (("--fold", 1), "--fold and --folds belong together"),
        (("--fold", 1, "--folds", 2), "folds are of subjects, but procedural scans have none; give a file of planes"),
    ],
)
def test_what_cannot_be_trained_is_said_in_a_sentence(tmp_path, recipe, options, sentence):
    """No traceback: whoever trains may be no programmer."""
    options = [option(tmp_path / "planes.h5") if callable(option) else option for option in options]
    told = kband("train", recipe, "-o", tmp_path / "models", "--workers", 0, *options)
    assert told.exit_code == 1
    assert sentence in told.output
    assert told.output.count("\n") == 1
    assert not (tmp_path / "models").exists()


def test_a_recipe_without_data_says_so(tmp_path):
    """The paper's recipes are for raw data that cannot ship with them."""
    told = kband("train", "knee_kband", "-o", tmp_path)
    assert "recipe knee_kband names no data; give a file of planes, or data.procedural" in told.output


def test_nan_found_by_a_worker_is_one_sentence(tmp_path, planes, recipe):
    """The worker is another process, whose errors arrive as tracebacks unless they are carried over."""
    chosen, _ = split_subjects("abc", seed=0, fraction=0.2)
    with h5py.File(planes, "r+") as file:
        for group in file["planes"].values():
            if group.attrs["subject"] in chosen:
                group["kspace"][0, 0, 0] = float("nan")
    told = kband("train", recipe, "-o", tmp_path, "--planes", planes, "--workers", 1, "--device", "cpu")
    assert told.exit_code == 1
    assert "1 sample of kspace in slice 0 of subject" in told.output
    assert "Traceback" not in told.output


def test_damage_found_by_a_worker_is_one_sentence(tmp_path, planes, recipe):
    """The main process reads sizes only; what lacks is met in another one."""
    chosen, _ = split_subjects("abc", seed=0, fraction=0.2)
    with h5py.File(planes, "r+") as file:
        for group in file["planes"].values():
            if group.attrs["subject"] in chosen:
                del group["kspace"]
    told = kband("train", recipe, "-o", tmp_path, "--planes", planes, "--workers", 1, "--device", "cpu")
    assert told.exit_code == 1
    assert "planes.h5: plane 00000" in told.output
    assert "cannot be read (" in told.output
    assert "Traceback" not in told.output


def test_tensorboard_shows_what_the_network_makes(tmp_path, recipe):
    """Figures alone do not show stripes: one plane at each validation, beside the one of all samples."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    kband("train", recipe, "-o", tmp_path / "models", "--steps", 2, "--workers", 0, "--device", "cpu")
    board = events.EventAccumulator(str(tmp_path / "models" / "tensorboard"))
    board.Reload()
    assert board.Tags()["images"] == [f"validation/{name}" for name in ("network", "all_samples", "error_x5")]
    assert [shown.step for shown in board.Images("validation/network")] == [2]
