"""Seeds, and where real scans may be found."""

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def real_scans() -> Path:
    """Folder of real raw files: `KBAND_DATA`, or `shared/data` beside the checkout; without it the test is skipped."""
    folder = Path(os.environ.get("KBAND_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "brain_t1_8ch.h5").is_file():
        pytest.skip("no real scans at hand: set KBAND_DATA")
    return folder
