"""A training is a function of its recipe: not of interruptions, of workers, or of how many processes share it."""

import copy
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file

from kband_core.model_card import Card
from kband_core.models import load_model
from kband_core.training.batches import Batches, load
from kband_core.training.dataset import PlaneFile, PlaneWriter
from kband_core.training.ema import MovingAverage
from kband_core.training.history import read_history
from kband_core.training.material import find_material
from kband_core.training.processes import Processes
from kband_core.training.scans import StoredScans
from kband_core.training.simulation.procedural import procedural_plane
from kband_core.training.state import MOST_SKIPPED, State, take_step
from kband_core.training.trainer import train
from kband_core.training.validation import Validation
from tests.training.tiny import tiny_recipe


def weights(folder, name="tiny"):
    return torch.load(folder / f"{name}.checkpoint", weights_only=True)["network"]


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Six steps at one go."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder, train(tiny_recipe(), folder, device="cpu", n_workers=0)


def test_resumed_equals_uninterrupted(tmp_path, uninterrupted):
    """Stopped by a cluster's SIGTERM after 3 steps and resumed: every bit of the weights and of the log is the same."""

    def terminate(step, *_):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    stopped = train(tiny_recipe(), tmp_path, device="cpu", n_workers=0, tell=terminate)
    assert stopped.step == 4  # the step that was under way
    resumed = train(tiny_recipe(), tmp_path, device="cpu", n_workers=0, resume=True)
    folder, whole = uninterrupted
    assert resumed.step == whole.step == 6
    assert resumed.figures == whole.figures
    assert same(weights(tmp_path), weights(folder))
    assert same(load_file(tmp_path / "tiny.safetensors"), load_file(folder / "tiny.safetensors"))
    ours, theirs = ([{**row, "seconds": ""} for row in read_history(place / "log.csv")] for place in (tmp_path, folder))
    assert ours == theirs
    assert [row["step"] for row in ours] == ["2", "4", "6"]


def test_a_training_by_minutes_loses_nothing(tmp_path, uninterrupted):
    """A machine that is lent for minutes: each call does a part, and the last bit is that of one call."""
    short = {"device": "cpu", "n_workers": 0, "minutes": 1e-9}
    parts = [train(tiny_recipe(), tmp_path, **short, resume=n > 0).step for n in range(3)]
    assert parts == [1, 2, 3]  # the step that was begun
    resumed = train(tiny_recipe(), tmp_path, device="cpu", n_workers=0, resume=True)
    folder, whole = uninterrupted
    assert resumed.figures == whole.figures
    assert same(weights(tmp_path), weights(folder))


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")
def test_workers_change_nothing():
    """Examples are made ahead in other processes, in whatever order these run."""
    material = find_material(tiny_recipe(), None)
    batches = Batches(material.scans, tiny_recipe().supervision, batch=2)
    here, there = (list(load(batches, 3, 7, n_workers=n)) for n in (0, 2))
    assert len(here) == len(there) == 4
    here, there = ([{**vars(one), "sampling": one.sampling.mask} for one in each] for each in (here, there))
    assert all(same(ours, theirs) for ours, theirs in zip(here, there, strict=True))


def test_two_processes_equal_one(tmp_path, uninterrupted):
    """Each of two takes half of every batch and gradients are averaged: the same steps, but for the order of sums."""
    script = (
        "import sys; from pathlib import Path; from kband_core.training.trainer import train; "
        "from tests.training.tiny import tiny_recipe; "
        "train(tiny_recipe(), Path(sys.argv[1]), device='cpu', n_workers=0)"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    as_torchrun = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env={**as_torchrun, "RANK": n, "LOCAL_RANK": n})
        for n in "01"
    ]
    assert [rank.wait(120) for rank in ranks] == [0, 0]
    ours, theirs = weights(tmp_path), weights(uninterrupted[0])
    for name in theirs:
        assert torch.allclose(ours[name], theirs[name], atol=1e-4), name  # of a learning rate of 0.01
    assert len(read_history(tmp_path / "log.csv")) == 3


def test_the_model_can_be_loaded(uninterrupted, monkeypatch):
    """What a training leaves is what the scanner loads: weights that fit their card, within limits that are stated."""
    folder, outcome = uninterrupted
    monkeypatch.setenv("KBAND_MODELS", str(folder))
    assert isinstance(load_model("tiny"), torch.nn.Module)
    card = Card.model_validate(yaml.safe_load((folder / "tiny.yaml").read_text()))
    assert card.metrics == outcome.figures
    assert (card.limits.matrix, card.limits.acs_lines, card.limits.sampling) == ((32, 35), 6, ("lines",))
    # every second line of 32 and 4 of 8 ACS lines between them are 20 lines; R=3 has the same tolerance, 10 %
    assert card.limits.acceleration == pytest.approx((0.9 * 32 / 20, 3.3))


def test_a_training_begins_with_the_pretrained_weights(tmp_path, uninterrupted, monkeypatch):
    """At a vanishing learning rate they are what comes out; from random ones the loss is another."""
    monkeypatch.setenv("KBAND_MODELS", str(uninterrupted[0]))
    still = tiny_recipe().changed("optimiser", learning_rate=1e-30).changed(name="second", pretrained="tiny")
    train(still, tmp_path, device="cpu", n_workers=0)
    assert same(load_file(tmp_path / "second.safetensors"), load_file(uninterrupted[0] / "tiny.safetensors"))
    card, first = (
        Card.model_validate(yaml.safe_load(path.read_text()))
        for path in (tmp_path / "second.yaml", uninterrupted[0] / "tiny.yaml")
    )
    assert card.recipe.count("pretrained: tiny") == 1
    assert card.pretrained == first.as_earlier()


def test_a_share_of_the_pretrained_weights_is_kept(tmp_path, uninterrupted, monkeypatch):
    """In what is written, not in what is trained; also when resumed, and another model bears the name by then."""
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path / "before"))
    (tmp_path / "before").mkdir()
    for name in ("tiny.safetensors", "tiny.yaml"):
        shutil.copy(uninterrupted[0] / name, tmp_path / "before" / name)
    first = load_file(tmp_path / "before" / "tiny.safetensors")
    recipe = tiny_recipe(optimiser={"schedule": "constant"}, validation={"every": 6})
    recipe = recipe.changed(name="second", pretrained="tiny")
    train(recipe, tmp_path / "whole", device="cpu", n_workers=0)
    shared = recipe.changed(pretrained_share=0.25)
    train(shared, tmp_path / "shared", device="cpu", n_workers=0, minutes=1e-9)  # the step that was begun
    train(tiny_recipe().changed(seed=1), tmp_path / "before", device="cpu", n_workers=0)
    train(shared, tmp_path / "shared", device="cpu", n_workers=0, resume=True)
    whole, ours = (load_file(tmp_path / name / "second.safetensors") for name in ("whole", "shared"))
    for name, values in ours.items():
        torch.testing.assert_close(values, 0.25 * first[name] + 0.75 * whole[name])
    assert same(weights(tmp_path / "shared", "second"), weights(tmp_path / "whole", "second"))


def test_pretrained_weights_of_another_network_are_refused(tmp_path, uninterrupted, monkeypatch):
    """What fits in part would begin with noise in the rest."""
    monkeypatch.setenv("KBAND_MODELS", str(uninterrupted[0]))
    wider = tiny_recipe().changed("network", unrolls=3, shared=False).changed(pretrained="tiny")
    of_card = "do not fit network modl, for it is of shared its default, not False, unrolls 1, not 3; a recipe with"
    with pytest.raises(ValueError, match=f"the weights of 'tiny' {of_card}"):
        train(wider, tmp_path, device="cpu", n_workers=0)
    with pytest.raises(ValueError, match="do not fit network modl, for it is upnet; a recipe with"):
        train(tiny_recipe().changed(pretrained="simulated_waterfat"), tmp_path, device="cpu", n_workers=0)
    with pytest.raises(ValueError, match="no model 'nobody'"):
        train(tiny_recipe().changed(pretrained="nobody"), tmp_path, device="cpu", n_workers=0)


def test_the_best_is_the_best_by_psnr(tmp_path, monkeypatch):
    """A mean of NMSE is that of the worst planes: it is least at the first validation here, PSNR best at the second."""
    found = iter([{"nmse": 0.1, "psnr": 30.0}, {"nmse": 0.2, "psnr": 31.0}, {"nmse": 0.3, "psnr": 29.0}])
    monkeypatch.setattr(Validation, "judge", lambda *_: next(found))
    assert train(tiny_recipe(), tmp_path, device="cpu", n_workers=0).figures == {"nmse": 0.2, "psnr": 31.0}
    assert yaml.safe_load((tmp_path / "tiny.yaml").read_text())["steps"] == 4


def test_training_learns(tmp_path):
    """Each of two scans seen 100 times: the loss falls by 9 %, most of the rest is noise; without steps it does not."""
    losses = []
    recipe = tiny_recipe(
        data={"procedural": {"matrix": [32, 32], "coils": [4, 4], "n_scans": 2}},
        supervision={"sampling": "lines", "line_acceleration": 3},
        optimiser={"steps": 100},
        validation={"every": 100},
    )
    train(recipe, tmp_path, device="cpu", n_workers=0, tell=lambda step, n_steps, loss, figures: losses.append(loss))
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])


def test_a_gradient_that_is_not_finite_is_skipped():
    """One bad example must not cost the training: nothing moves; ten in a row are no accident."""
    recipe = tiny_recipe()
    network = recipe.network.build()
    state = State(network, MovingAverage(network, 0.9), torch.optim.Adam(network.parameters()))
    batch = Batches(find_material(recipe, None).scans, recipe.supervision, 1)[0]
    broken = replace(batch, target=batch.target * torch.nan)
    alone, supervise = Processes(0, 1, torch.device("cpu")), recipe.supervision.build()

    def step(example):
        take_step(state, example, supervise, rate=0.01, clip=1.0, processes=alone)

    step(batch)
    before = copy.deepcopy(state.content())
    for _ in range(MOST_SKIPPED - 1):
        step(broken)
    assert same(state.network.state_dict(), before["network"])
    assert same(state.average.network.state_dict(), before["average"])
    assert state.n_skipped == MOST_SKIPPED - 1
    step(batch)
    for _ in range(MOST_SKIPPED - 1):
        step(broken)
    with pytest.raises(ValueError, match="step 20: 10 gradients in a row are not finite; lower the learning rate"):
        step(broken)


def planes_file(path, subjects):
    """Two planes of each subject, the second larger."""
    rng = torch.Generator().manual_seed(0)
    with PlaneWriter(path) as writer:
        for subject in subjects:
            for side in (32, 34):
                writer.append(replace(procedural_plane((side, 33), n_coils=2, rng=rng), subject=subject))
    return path


def test_an_epoch_sees_every_plane(tmp_path):
    """Planes of all sizes, each once, those of one size together; the next epoch in another order."""
    scans = StoredScans(PlaneFile(planes_file(tmp_path / "planes.h5", "abcd")), list(range(8)), seed=0)
    assert scans.steps_per_epoch(2) == 4
    epochs = [[[scans.draw(step, place, 2)[0] for place in range(2)] for step in range(n, n + 4)] for n in (0, 4)]
    for epoch in epochs:
        assert all(first.kspace.shape == second.kspace.shape for first, second in epoch)
        assert len({(one.subject, one.kspace.shape) for pair in epoch for one in pair}) == 8
    names = [[one.subject for pair in epoch for one in pair] for epoch in epochs]
    assert names[0] != names[1]


def test_all_scans_of_a_subject_have_one_angle(tmp_path):
    """A scan acquires one band; whoever saw several bands of it would have seen its full k-space."""
    scans = StoredScans(PlaneFile(planes_file(tmp_path / "planes.h5", "ab")), list(range(4)), seed=0)
    drawn = [scans.draw(step, 0, 1) for step in range(12)]
    angles = {(plane.subject, angle) for plane, _, angle in drawn}
    assert len(angles) == 2
    assert all(0 <= angle < 180 for _, angle in angles)
