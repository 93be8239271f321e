"""All that a training needs to go on as if nothing had happened, in one file."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from kband_core.finished_file import finished

FORMAT = "kband checkpoint 1"
# what torch.load and the pickle inside raise at bytes that make no sense to them
DAMAGED = (
    OSError, EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, LookupError, TypeError, ValueError,
    AttributeError, ArithmeticError, AssertionError, ImportError, MemoryError, struct.error,
)  # fmt: skip


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state`, tensors and plain numbers and texts; the file before it stays until this one is whole.

    Raises `OSError`, which torch, writing by itself, turns into another error.
    """
    content = io.BytesIO()
    torch.save({"format": FORMAT, **state}, content)
    with finished(path) as unfinished:
        unfinished.write_bytes(content.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what was saved, to the CPU; no code of the file is run. Raises `ValueError`."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no checkpoint to go on from; start without resuming") from error
    except DAMAGED as error:
        raise ValueError(f"{path}: the checkpoint is damaged; start without resuming") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path}: not a checkpoint of this program; start without resuming")
    return state
