"""An untrained network of a few parameters, saved as a model with a card."""

from pathlib import Path
from typing import Any

import torch

from kband_core.model_card import Card
from kband_core.models import load_card, save_head, save_model
from kband_core.networks import build
from kband_core.uncertainty.head import Head
from kband_core.uncertainty.reliability import Reliability

CONFIG = {"unrolls": 1, "denoiser": "multiscale", "channels": 4, "wide": 4, "blocks": 1, "cg_iterations": 10}
LIMITS = {"acceleration": [1.2, 6], "matrix": [32, 256], "acs_lines": 12, "sampling": ["lines"]}
FIELDS = {
    "network": {"name": "modl", "config": CONFIG}, "supervision": "kband", "trained_on": "nothing: random weights",
    "recipe": "none", "seed": 0, "steps": 0, "date": "2025-01-01", "limits": LIMITS, "metrics": {"nmse": 0.5},
}  # fmt: skip


def save_tiny_model(folder: Path, name: str = "tiny", *, seed: int = 0, **fields: Any) -> Card:
    """Save a model named `name` into `folder`; `fields` replace those of its card."""
    folder.mkdir(exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = build("modl", **CONFIG)
    return save_model(folder, {**FIELDS, "name": name, **fields}, module)


def save_tiny_head(folder: Path, name: str = "tiny", *, factor: float = 3.0) -> Card:
    """Give the model `name` an untrained head, which says 2 % everywhere, and a bound of `factor` times its NMSE."""
    told = {"trained_on": "nothing", "steps": 0, "seed": 0, "date": "2025-01-01", "level": 0.9, "factor": factor,
            "n_scans": 99}  # fmt: skip
    with torch.random.fork_rng():
        return save_head(folder, load_card(name), told, Reliability((), (1.0,)), Head().eval())
