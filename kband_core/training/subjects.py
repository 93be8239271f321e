"""Whose planes are trained on, and whose are held out: split by subject, never by slice."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kband_core.plural import counted


def split_subjects(subjects: Iterable[str], *, seed: int, fraction: float) -> tuple[set[str], set[str]]:
    """Split subjects at random: those to train on, and the `fraction` held out, at least one of each.

    Raises `ValueError` if there is only one subject.
    """
    shuffled = _shuffled(subjects, seed)
    n_held_out = min(max(round(fraction * len(shuffled)), 1), len(shuffled) - 1)
    return set(shuffled[n_held_out:]), set(shuffled[:n_held_out])


def fold_subjects(subjects: Iterable[str], *, seed: int, fold: int, n_folds: int) -> tuple[set[str], set[str]]:
    """Return the subjects to train on and those held out in fold `fold`, 0 to `n_folds` - 1; each is held out once.

    Raises `ValueError` if there are fewer subjects than folds, or only one.
    """
    shuffled = _shuffled(subjects, seed)
    if not 2 <= n_folds <= len(shuffled):
        raise ValueError(f"{n_folds} folds of {counted(len(shuffled), 'subject')}; 2 to {len(shuffled)} expected")
    if not 0 <= fold < n_folds:
        raise ValueError(f"fold {fold} of {n_folds}; 0 to {n_folds - 1} expected")
    held_out = set(shuffled[fold::n_folds])
    return set(shuffled) - held_out, held_out


def _shuffled(subjects: Iterable[str], seed: int) -> list[str]:
    distinct = sorted(set(subjects))
    if len(distinct) < 2:
        raise ValueError(f"only one subject, {distinct[0]}, but one to train on and another to hold out needed")
    return [distinct[index] for index in np.random.default_rng(seed).permutation(len(distinct))]
