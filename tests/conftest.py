"""Seeds, and where real scans may be found."""

import os
from pathlib import Path
from unittest import mock

import pytest

with mock.patch.dict(os.environ, {"TQDM_DISABLE": "1"}):  # bars come after half a second: only where machines are slow
    import torch  # imports tqdm, which reads that once

from pipelines.files.mrd_file import write_raw
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the commands of the READMEs, which take longest: at the end one process would wait for the other."""
    items.sort(key=lambda item: "test_readmes" not in item.nodeid)


@pytest.fixture(scope="session")
def scan() -> tuple:
    """A simulated scan: header, lines, reference images. 64², 4 coils, 2 slices, R=2, 20 ACS lines, SNR 200."""
    return simulate_scan(Protocol(matrix=64, n_coils=4, n_slices=2, acceleration=2, acs_lines=20, snr=200.0))


@pytest.fixture
def raw(tmp_path, scan) -> Path:
    """That scan as a raw file."""
    write_raw(tmp_path / "scan.h5", scan[0], scan[1], reference=scan[2])
    return tmp_path / "scan.h5"


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
