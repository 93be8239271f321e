"""What a recipe trains on, and what is held out to judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kband_core.plural import counted
from kband_core.training.acquired import Acquired
from kband_core.training.dataset import Plane, PlaneFile
from kband_core.training.recipe import ProceduralRecipe, Recipe
from kband_core.training.scans import EndlessScans, ProceduralScans, Scans, StoredScans
from kband_core.training.simulation.anatomy.heads import anatomy
from kband_core.training.simulation.random_objects import ANATOMICAL
from kband_core.training.subjects import fold_subjects, split_subjects


@dataclass(frozen=True)
class Material:
    """Scans to train on; planes of other subjects, and which of them are held out; what a card says of them.

    `matrix` and `coils`: from, to. `acquired`: what was acquired of the planes to train on, each once; empty where all
    of k-space is simulated. `digest` tells files of planes, and real anatomy, apart; empty where all is drawn.
    """

    scans: Scans
    held_out: Sequence[Plane]
    held_out_indices: Sequence[int]
    description: str
    matrix: tuple[int, int]
    coils: tuple[int, int]
    acquired: Sequence[Acquired] = ()
    digest: str = ""


def find_material(recipe: Recipe, fold: tuple[int, int] | None) -> Material:
    """Open or simulate what the recipe asks for. `fold` is (number, of so many). Raises `ValueError`."""
    if recipe.data.planes is not None:
        return _stored(recipe, PlaneFile(recipe.data.planes), fold)
    if fold is not None:
        raise ValueError("folds are of subjects, but procedural scans have none; give a file of planes")
    if recipe.data.procedural is None:
        raise ValueError(f"recipe {recipe.name} names no data; give a file of planes, or data.procedural")
    return _procedural(recipe, recipe.data.procedural)


def _stored(recipe: Recipe, planes: PlaneFile, fold: tuple[int, int] | None) -> Material:
    try:
        if fold is None:
            chosen, held_out = split_subjects(planes.subjects, seed=recipe.seed, fraction=recipe.data.held_out)
        else:
            chosen, held_out = fold_subjects(planes.subjects, seed=recipe.seed, fold=fold[0], n_folds=fold[1])
    except ValueError as error:
        raise ValueError(f"{planes.path}: {error}") from error
    indices = {
        part: [index for index, subject in enumerate(planes.subjects) if subject in subjects]
        for part, subjects in (("chosen", chosen), ("held out", held_out))
    }
    sides = [side for csm, _ in planes.shapes for side in csm[-2:]]
    n_planes = len(indices['chosen'])
    n_coils = [csm[-3] for csm, _ in planes.shapes]
    return Material(
        StoredScans(planes, indices["chosen"], recipe.seed), planes, indices["held out"],
        f"{counted(n_planes, 'plane')} of {counted(len(chosen), 'subject')} ({planes.path.name})",
        (min(sides), max(sides)), (min(n_coils), max(n_coils)), _distinct(planes, indices["chosen"]), planes.digest(),
    )  # fmt: skip


def _distinct(planes: PlaneFile, indices: Sequence[int]) -> list[Acquired]:
    """What was acquired over the full extent of k-space, each once."""
    found: dict[object, Acquired] = {}
    for index in indices:
        acquired = planes.acquired(index).full_extent()
        found.setdefault((acquired.shape, acquired.nyquist, acquired.sampling.mask.numpy().tobytes()), acquired)
    return list(found.values())


def _procedural(recipe: Recipe, procedural: ProceduralRecipe) -> Material:
    n_held_out, n_scans, batch = recipe.validation.planes, procedural.n_scans, recipe.optimiser.batch
    held_out = ProceduralScans(procedural, n_held_out, seed=f"{recipe.seed} held out", run=1)
    scans: Scans = EndlessScans(procedural, recipe.seed)
    if n_scans is not None:
        scans = StoredScans(
            ProceduralScans(procedural, n_scans, seed=recipe.seed, run=batch), list(range(n_scans)), recipe.seed
        )
    how_many = "simulated scans" if n_scans is None else f"{n_scans} simulated scans"
    objects, digest = "random objects", ""
    if procedural.objects in ANATOMICAL:
        heads = anatomy()
        others = [objects] if procedural.objects == "mixed" else []
        objects, digest = " and ".join([*others, heads.provenance]), heads.digest
    return Material(
        scans, held_out, range(n_held_out), f"{how_many} of {objects}", procedural.matrix, procedural.coils,
        digest=digest,
    )  # fmt: skip
