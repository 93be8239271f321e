"""`kband train` as a user meets it: a model and a sentence, or one sentence."""

from dataclasses import replace

import h5py
import pytest
import torch
import yaml

from kband_core.training.dataset import PlaneFile, PlaneWriter, split_subjects
from kband_core.training.history import COLUMNS, read_history
from kband_core.training.procedural import procedural_plane
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
    assert "1 of 1 steps" in kband(*call, "--resume").output
    other = kband(*call, "--resume", "--seed", 5)
    assert "the checkpoint is of another recipe or fold; start without resuming" in other.output


def test_kband_trains_from_bands_alone(tmp_path, planes):
    """Planes that are bands, as a scanner can acquire them, have no reference: the loss on held-out bands judges."""
    with PlaneWriter(tmp_path / "bands.h5") as writer:
        for plane in PlaneFile(planes):
            columns = (torch.arange(33) - 16).abs() <= 6
            mask = columns.expand(35, 33)
            writer.append(replace(plane, kspace=plane.kspace * mask, mask=mask, angle=0.0))
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
    assert "samples of kspace in slice 0 of subject" in told.output
    assert "Traceback" not in told.output
