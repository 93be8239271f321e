"""A folder of volumes for NIfTI, NumPy and BART, a file a series; beside it, what its images say of themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from gadgets.mrd import ismrmrd
from gadgets.mrd_header import COUNTERS
from gadgets.scan import Scan
from pipelines.export.finished_folder import finished_folder
from pipelines.export.label import Label, is_quantity, labels, protocol_of, real_pixels, text_of
from pipelines.export.volumes import Volume, volumes
from pipelines.files.finished_file import writing

Save = Callable[[Path, Volume], None]  # a file of this name, to which it gives its ending
SIDECAR = ".json"
OTHERS = "GADGETRON_"  # keys that say the same in other words


class VolumeFolder:
    """An image sink that keeps all images and writes them at the end, series by series, with a JSON file for each.

    Pixels stand as they are, those of quantities in their unit. If the `with` block ends by an exception, or without an
    image, no folder is left.
    """

    def __init__(
        self, path: Path, header_xml: str, save: Save, endings: tuple[str, ...], *, overwrite: bool = False
    ) -> None:
        self._path, self._save, self._protocol = path, save, protocol_of(Scan.from_xml(header_xml))
        self._series: dict[Label, list[ismrmrd.Image]] = {}
        self._folder = finished_folder(path, (*endings, SIDECAR), overwrite, is_wanted=lambda: bool(self._series))

    def __enter__(self) -> VolumeFolder:
        self._unfinished = self._folder.__enter__()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self._write()
        except Exception as problem:
            self._folder.__exit__(type(problem), problem, problem.__traceback__)
            raise
        self._folder.__exit__(kind, error, trace)

    def append(self, image: ismrmrd.Image) -> None:
        """Take one image."""
        for label in labels(image, self._protocol):
            self._series.setdefault(label, []).append(image)

    def _write(self) -> None:
        for label, images in self._series.items():
            pixels = {id(image): _pixels(image, label.channel) for image in images}
            for number, volume in enumerate(volumes(images, pixels)):
                path = self._unfinished / (label.file_name + (f"_{number + 1}" if number else ""))
                with writing(self._path):
                    self._save(path, volume)
                    path.with_name(path.name + SIDECAR).write_text(json.dumps(_said(label, volume), indent=1))


def _pixels(image: ismrmrd.Image, channel: int) -> np.ndarray:
    return real_pixels(image, channel) if is_quantity(image) else image.data[channel]


def _said(label: Label, volume: Volume) -> dict[str, Any]:
    return {
        "series": label.number,
        "description": label.description,
        "part": label.part.lower(),
        "shape (t, z, y, x)": volume.pixels.shape,
        "affine, (x, y, z, 1) to mm in LPS": None if volume.affine is None else volume.affine.tolist(),
        "images (t, z)": [[_of_image(image) for image in images] for images in volume.images],
    }


def _of_image(image: ismrmrd.Image) -> dict[str, Any]:
    meta = {key: text_of(image.meta, key) for key in image.meta if not key.startswith(OTHERS)}
    return {"number": image.image_index, **{name: getattr(image, name) for name in COUNTERS}, **meta}
