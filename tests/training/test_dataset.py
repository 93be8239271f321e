"""Planes on disk, and who is held out."""

import pickle

import h5py
import numpy as np
import pytest
import torch

from kband_core.training.dataset import Plane, PlaneFile, PlaneWriter
from kband_core.training.subjects import fold_subjects, split_subjects


def plane(subject="a", shape=(6, 8), **changes):
    """A plane of random numbers, two coils."""
    rng = torch.Generator().manual_seed(len(subject))
    kspace, csm = (torch.randn(size, dtype=torch.complex64, generator=rng) for size in ((2, *shape), (1, 2, *shape)))
    return Plane(**{"kspace": kspace, "mask": torch.ones(shape[0], 1, dtype=torch.bool), "csm": csm,
                    "subject": subject, "protocol": "T1", "source": "scan.h5", "slice": 3, **changes})  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "planes.h5"


def write(path, *planes):
    with PlaneWriter(path) as writer:
        for one in planes:
            writer.append(one)


def test_a_plane_survives_the_file(path):
    """Numbers, texts and the angle come back as they were, odd shapes and 2-D masks included."""
    band = torch.rand(7, 9, generator=torch.Generator().manual_seed(0)) > 0.5
    stored = [plane("a"), plane("b", (7, 9), mask=band, angle=30.5, band_acceleration=2.5)]
    write(path, *stored)
    for ours, theirs in zip(stored, PlaneFile(path), strict=True):
        assert all(torch.equal(getattr(ours, name), getattr(theirs, name)) for name in ("kspace", "mask", "csm"))
        assert vars(ours).keys() == vars(theirs).keys()
        others = ("subject", "protocol", "source", "slice", "angle", "band_acceleration")
        assert [getattr(ours, name) for name in others] == [getattr(theirs, name) for name in others]


def test_a_file_of_planes_can_be_sent_to_a_worker(path):
    """An open HDF5 file cannot cross to another process; its path can."""
    write(path, plane("a"), plane("b"))
    planes = PlaneFile(path)
    assert planes[0].subject == "a"
    assert pickle.loads(pickle.dumps(planes))[1].subject == "b"


def test_an_interrupted_writer_leaves_no_file(path):
    """Half a study must not be taken for a whole one."""
    def interrupted():
        with PlaneWriter(path) as writer:
            writer.append(plane())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["kspace", "csm"])
def test_a_plane_with_nan_is_refused(name):
    """One NaN in an average over a batch is a NaN in every weight."""
    array = getattr(plane(), name).clone()
    array.flatten()[:2] = torch.nan
    with pytest.raises(ValueError, match=rf"scan.h5: 2 samples of {name} in slice 3 of subject a are NaN or infinite"):
        plane(**{name: array})


def test_nan_in_a_file_is_found(path):
    """A file may be older than the check, or damaged."""
    write(path, plane("a"), plane("b"))
    with h5py.File(path, "r+") as file:
        file["planes/000001/kspace"][0, 0, 0] = float("inf")
    with pytest.raises(ValueError, match=r"plane 000001: scan.h5: 1 sample of kspace .* subject b is NaN"):
        PlaneFile(path)[1]


def test_planes_without_calibration_are_refused(path):
    """Without maps there is nothing that tells coils from anatomy."""
    write(path, plane())
    with h5py.File(path, "r+") as file:
        del file["planes/000000/csm"]
    with pytest.raises(ValueError, match="plane 000000 has no coil sensitivity maps; the scan needs calibration lines"):
        PlaneFile(path)


def test_what_is_no_file_of_planes_is_refused(path):
    """No file, another kind of file, an empty file: one sentence each."""
    with pytest.raises(ValueError, match="no such file; make it with kband prepare"):
        PlaneFile(path)
    path.write_text("planes")
    with pytest.raises(ValueError, match="not an HDF5 file"):
        PlaneFile(path)
    with h5py.File(path, "w") as file:
        file["dataset"] = 1
    with pytest.raises(ValueError, match="not a file of planes"):
        PlaneFile(path)
    with h5py.File(path, "w") as file:
        file.attrs.update(format="kband planes", version=1)
        file.create_group("planes")
    with pytest.raises(ValueError, match="0 planes, at least 1 expected"):
        PlaneFile(path)


DAMAGES = {
    "no subject": lambda group: group.attrs.pop("subject"),
    "no slice": lambda group: group.attrs.pop("slice"),
    "a slice that is a text": lambda group: group.attrs.update(slice="third"),
    "no k-space": lambda group: group.pop("kspace"),
    "no mask": lambda group: group.pop("mask"),
    "k-space of real numbers": lambda group: replaced(group, "kspace", np.zeros((2, 6, 8), np.float32)),
    "k-space of one axis": lambda group: replaced(group, "kspace", np.zeros(5, np.complex64)),
    "a mask of numbers": lambda group: replaced(group, "mask", np.ones((6, 1), np.int64)),
    "a mask of another size": lambda group: replaced(group, "mask", np.ones((5, 1), bool)),
    "maps that are a folder": lambda group: (group.pop("csm"), group.create_group("csm")),
}  # fmt: skip


def replaced(group, name, array):
    del group[name]
    group[name] = array


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_plane_is_one_sentence(damage, path):
    """On opening or on reading, here or in a worker: a sentence that names file and plane."""
    write(path, plane("a"), plane("b"))
    with h5py.File(path, "r+") as file:
        damage(file["planes/000001"])
    with pytest.raises(ValueError, match=r"planes.h5: plane 000001 cannot be read \(.*\); make the file anew$") as told:
        PlaneFile(path)[1]
    assert "\n" not in str(told.value)


def test_a_damaged_file_is_one_sentence(path):
    """No version, no group of planes, half of the bytes."""
    write(path, plane("a"))
    with h5py.File(path, "r+") as file:
        del file.attrs["version"]
    with pytest.raises(ValueError, match="planes of version None, but this program reads 1"):
        PlaneFile(path)
    with h5py.File(path, "w") as file:
        file.attrs.update(format="kband planes", version=1)
        file["planes"] = 3
    with pytest.raises(ValueError, match=r"planes.h5: it cannot be read \(.*\); make the file anew"):
        PlaneFile(path)
    write(path, plane("a"))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match="not an HDF5 file, so no planes"):
        PlaneFile(path)


def test_a_band_is_told_whole_or_not_at_all(path):
    """Its angle alone does not tell its weight; files of before told nothing else."""
    with pytest.raises(ValueError, match=r"the band has angle 30.0 and band_acceleration None; both or neither"):
        plane(angle=30.0)
    write(path, plane("a", angle=30.0, band_acceleration=4.0), plane("b"))
    with h5py.File(path, "r+") as file:
        del file["planes/000000"].attrs["band_acceleration"]
    with pytest.raises(ValueError, match="plane 000000 is a band of unknown acceleration; make the file anew"):
        PlaneFile(path)


def test_what_was_acquired_is_known_without_the_samples(path):
    """As the plane itself says it, bands included."""
    band = torch.rand(7, 9, generator=torch.Generator().manual_seed(0)) > 0.5
    stored = [plane("a"), plane("b", (7, 9), mask=band, angle=30.5, band_acceleration=2.5)]
    write(path, *stored)
    file = PlaneFile(path)
    for index, ours in enumerate(stored):
        told = file.acquired(index)
        assert torch.equal(told.sampling.mask, ours.mask)
        assert (told.shape, told.band) == (ours.acquired.shape, ours.acquired.band)


SUBJECTS = ["anna", "bert", "anna", "cleo", "dora", "emil"]


def test_nobody_is_both_trained_on_and_held_out():
    """Neighbouring slices of one head are nearly the same image: split by slice, validation would see its answers."""
    chosen, held_out = split_subjects(SUBJECTS, seed=0, fraction=0.4)
    assert chosen | held_out == set(SUBJECTS)
    assert not chosen & held_out
    assert len(held_out) == 2
    assert split_subjects(reversed(SUBJECTS), seed=0, fraction=0.4) == (chosen, held_out)


def test_folds_hold_out_everybody_once():
    """What k-fold validation is."""
    folds = [fold_subjects(SUBJECTS, seed=0, fold=fold, n_folds=3) for fold in range(3)]
    assert sorted(name for _, held_out in folds for name in held_out) == sorted(set(SUBJECTS))
    assert all(chosen | held_out == set(SUBJECTS) and not chosen & held_out for chosen, held_out in folds)


def test_one_subject_cannot_be_split():
    """Nobody would be left to hold out."""
    with pytest.raises(ValueError, match="only one subject, anna, but one to train on and another to hold out needed"):
        split_subjects(["anna", "anna"], seed=0, fraction=0.2)
    with pytest.raises(ValueError, match="7 folds of 5 subjects; 2 to 5 expected"):
        fold_subjects(SUBJECTS, seed=0, fold=0, n_folds=7)
    with pytest.raises(ValueError, match="fold 3 of 3; 0 to 2 expected"):
        fold_subjects(SUBJECTS, seed=0, fold=3, n_folds=3)


def test_flipped_samples_are_noticed(path):
    """A bit that a disk has lost would be trained on."""
    write(path, plane())
    samples = plane().kspace.numpy().tobytes()
    whole = path.read_bytes()
    assert whole.count(samples) == 1
    path.write_bytes(whole.replace(samples, samples[:-1] + bytes([samples[-1] ^ 1])))
    with pytest.raises(ValueError, match="plane 000000 cannot be read"):
        PlaneFile(path)[0]


def test_planes_of_other_files_are_not_read(path, tmp_path):
    """Whoever sends a file must not choose which other files of the reader are read."""
    other = tmp_path / "other.h5"
    write(path, plane())
    path.rename(other)
    path.write_bytes(other.read_bytes())
    with h5py.File(path, "r+") as file:
        del file["planes/000000/csm"]
        file["planes/000000/csm"] = h5py.ExternalLink(str(other), "planes/000000/csm")
    with pytest.raises(ValueError, match="it lies in another file, and none is read"):
        PlaneFile(path)
