"""A model with a head: trained, calibrated, written."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from kband_core.device import choose_device
from kband_core.model_card import Card
from kband_core.models import load_card, save_head
from kband_core.training.uncertainty.fitting import calibrate, fit_head
from kband_core.training.uncertainty.judged_scans import JudgedScan, judged_scans

LEVEL = 0.9

Tell = Callable[[str, int, int, float | None], None]


def train_head(
    name: str,
    folder: Path,
    *,
    n_scans: int,
    n_held_out: int,
    steps: int,
    seed: int = 0,
    device: str = "auto",
    tell: Tell = lambda what, done, of_all, loss: None,
) -> Card:
    """Train a head for the model `name`, which stays as it is, calibrate it on other scans, and write all to `folder`.

    The same numbers give the same head. `tell` hears what is being done, how much of it, and the loss if there is one.
    Raises `ValueError`.
    """
    card, where = load_card(name), choose_device(device)

    def made(what: str, n: int) -> list[JudgedScan]:
        scans = []
        for scan in judged_scans(card, n, seed=f"{seed} uncertainty {what}", device=where):
            scans.append(scan)
            tell(what, len(scans), n, None)
        return scans

    taught = made("scans", n_scans)
    head = fit_head(taught, steps, seed=seed, device=where, tell=lambda step, loss: tell("steps", step, steps, loss))
    table, bound = calibrate(head, made("held-out scans", n_held_out), LEVEL)
    told = {
        "trained_on": f"{n_scans} simulated scans of random objects", "steps": steps, "seed": seed,
        "date": datetime.date.today(), **asdict(bound),
    }  # fmt: skip
    return save_head(folder, card, told, table, head)
