"""What a training has seen, row by row: in a CSV file always, in TensorBoard where it is installed, with pictures."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from kband_core.finished_file import finished
from kband_core.training.peers import PEERS

FIGURES = ("validation_loss", "nmse", "psnr", "ssim")
COLUMNS = (
    "step", "loss", "learning_rate", *FIGURES, "skipped", "seconds", *(f"{peer}_{name}" for peer in PEERS
                                                                       for name in FIGURES)
)  # fmt: skip


class History:
    """Append rows to `log.csv`; a resumed training drops the rows behind its checkpoint, and loses no other.

    Of several processes only one `writes`.
    """

    def __init__(self, folder: Path, *, first_step: int, writes: bool = True) -> None:
        self._file = self._board = None
        if not writes:
            return
        path = folder / "log.csv"
        rows = [row for row in read_history(path) if int(row["step"]) <= first_step] if first_step else []
        with finished(path) as unfinished, unfinished.open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            table.writeheader()
            table.writerows(rows)
        self._file = path.open("a", newline="")
        self._csv = csv.DictWriter(self._file, COLUMNS)
        self._board = _tensorboard(folder, first_step)

    def append(self, row: Mapping[str, float]) -> None:
        """Write one row; figures that are not in it stay empty."""
        if self._file is None:
            return
        self._csv.writerow({key: value if isinstance(value, int) else f"{value:.6g}" for key, value in row.items()})
        self._file.flush()
        if self._board is not None:
            for key, value in row.items():
                if key != "step":
                    self._board.add_scalar(key, value, row["step"])
            self._board.flush()

    @property
    def shows_pictures(self) -> bool:
        """Whether anybody can see pictures: TensorBoard is installed, and this process writes."""
        return self._board is not None

    def show(self, pictures: Mapping[str, Tensor], step: int) -> None:
        """Add pictures `(y, x)` of values from 0 to 1 to TensorBoard."""
        for name, picture in pictures.items():
            self._board.add_image(f"validation/{name}", picture, step, dataformats="HW")
        self._board.flush()

    def close(self) -> None:
        """Finish the files."""
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()


def read_history(path: Path) -> list[dict[str, str]]:
    """Read the rows of a log; none if there is no log."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _tensorboard(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=first_step + 1 if first_step else None)
