"""A folder of DICOM files: images as they come, maps of quantities behind them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
from pydicom.dataset import Dataset

from gadgets.images.series import PARTS, QUANTITIES
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from gadgets.stock.pixels import with_pixels
from pipelines.export.dicom_image import ImageWriter
from pipelines.export.dicom_map import parametric_map
from pipelines.export.finished_folder import finished_folder
from pipelines.export.label import Label, is_quantity, labels, protocol_of, text_of
from pipelines.files.finished_file import FileProblem, writing

ENDING = ".dcm"


class DicomFolder:
    """An image sink: a folder for each series, a file for each plane; maps are Parametric Maps of those planes.

    If the `with` block ends by an exception, or without an image, no folder is left. An image that cannot be placed in
    the patient is a `FileProblem`. Series are called by `protocol`, which the header names if it is None.
    """

    def __init__(
        self, path: Path, header_xml: str, made_by: str, *, overwrite: bool = False, protocol: str | None = None
    ) -> None:
        scan = Scan.from_xml(header_xml)
        self._path, self._protocol = path, protocol or protocol_of(scan)
        self._writer = ImageWriter(scan, made_by)
        self._n_files = 0
        self._folder = finished_folder(path, (ENDING,), overwrite, is_wanted=lambda: self._n_files > 0)
        self._planes: dict[tuple[int, int], list[Dataset]] = {}
        self._maps: list[tuple[ismrmrd.Image, Label]] = []

    def __enter__(self) -> DicomFolder:
        self._unfinished = self._folder.__enter__()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self._write_maps()
        except FileProblem as problem:
            self._folder.__exit__(type(problem), problem, problem.__traceback__)
            raise
        self._folder.__exit__(kind, error, trace)

    def append(self, image: ismrmrd.Image) -> None:
        """Add one image; a map of a quantity waits for the end, as it refers to the image."""
        with _named(self._path, image):
            if is_quantity(image):
                self._maps += [(image, label) for label in labels(image, self._protocol)]
                return
            for part in _parts(image):
                for label in labels(part, self._protocol):
                    for dataset in self._writer.datasets(part, label):
                        self._write(dataset, label)
                        del dataset.PixelData
                        self._planes.setdefault((part.image_series_index, part.image_index), []).append(dataset)

    def _write_maps(self) -> None:
        for image, label in self._maps:
            with _named(self._path, image):
                series = image.image_series_index - QUANTITIES[text_of(image.meta, "kband_quantity")]
                planes = self._planes.get((series, image.image_index), [])
                self._write(parametric_map(image, label, planes, self._writer), label)

    def _write(self, dataset: Dataset, label: Label) -> None:
        folder = self._unfinished / label.file_name
        with writing(self._path):
            folder.mkdir(exist_ok=True)
            path = folder / f"{dataset.InstanceNumber:05d}{ENDING}"
            if path.exists():
                raise ValueError(f"has number {dataset.InstanceNumber}, as another image of its series")
            dataset.save_as(path, enforce_file_format=True)
        self._n_files += 1


def _parts(image: ismrmrd.Image) -> list[ismrmrd.Image]:
    """The image itself; of a complex one magnitude and phase, as DICOM has no complex numbers."""
    if not np.iscomplexobj(image.data):
        return [image]
    first, second = ((ismrmrd.IMTYPE_MAGNITUDE, np.abs), (ismrmrd.IMTYPE_PHASE, np.angle))
    return [
        with_pixels(image, part(image.data).astype(np.float32), image_type=image_type,
                    image_series_index=image.image_series_index + PARTS[image_type])
        for image_type, part in (first, second)
    ]  # fmt: skip


@contextmanager
def _named(path: Path, image: ismrmrd.Image) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        name = f"image {image.image_index} of series {image.image_series_index}"
        raise FileProblem(f"{path}: {name} cannot be a DICOM image: {error}") from error
