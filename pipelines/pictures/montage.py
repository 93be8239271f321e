"""Lay out images for the eye: a file as a sheet, several side by side, two and their difference, or references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from gadgets.mrd import ismrmrd
from pipelines.pictures.comparison import compare, reference_of
from pipelines.pictures.drawing import draw
from pipelines.pictures.image_panel import Window, common_window, comparison_panels, image_panel
from pipelines.pictures.panel import Panel, absent

MOST_PANELS = 64
COMPARED_ABREAST = 6

Key = tuple[object, ...]


@dataclass(frozen=True)
class Source:
    """An image file: its name, its images, and the protocol that its header names, or ''."""

    name: str
    images: Sequence[ismrmrd.Image]
    protocol: str = ""


def montage(source: Source, *, as_stored: bool = False) -> Figure:
    """Draw one panel per image, slices in order; of more than 64 images, 64 evenly chosen."""
    chosen, title = _choose(sorted(source.images, key=_place), MOST_PANELS, source.name)
    windows = _windows(chosen, _kind, "the series")
    panels = [image_panel(image, windows[_kind(image)], protocol=source.protocol) for image in chosen]
    return draw(_rows(panels, int(np.ceil(np.sqrt(len(panels))))), title, as_stored=as_stored)


def side_by_side(sources: Sequence[Source], *, as_stored: bool = False) -> Figure:
    """Draw a column for each file and a row for each image, all files and slices in one window.

    Images belong together that show the same of the same slice, whatever their series; where a file has none, that is
    said. Of more than 64 images in all, rows are evenly chosen.
    """
    by_key = [_by_what_is_same(source.images) for source in sources]
    keys = sorted(set().union(*by_key))
    chosen, title = _choose(keys, max(MOST_PANELS // len(sources), 1), " beside ".join(one.name for one in sources))
    shown = [image for images in by_key for key, image in images.items() if key in chosen]
    windows = _windows(shown, _shows, "all files", overrides=True)
    rows = []
    for key in chosen:
        row = [_beside(images.get(key), windows, source) for images, source in zip(by_key, sources, strict=True)]
        like = next(panel for panel in row if panel)
        rows.append([panel or absent(like, f"no such image in {one.name}")
                     for panel, one in zip(row, sources, strict=True)])  # fmt: skip
    return draw(rows, title, as_stored=as_stored)


def beside_references(
    sources: Sequence[Source], references: Sequence[ismrmrd.Image], against: str, *, as_stored: bool = False
) -> Figure:
    """Draw rows of images, their references and five-fold differences; of more than 21 images, 21 evenly chosen.

    A reference belongs to all images of its slice, of its contrast if there are several; maps of quantities are left
    out. `against`: the name
    of the scan that they come from. Raises `ValueError` where an image has no reference, or none of its size.
    """
    images = [(image, one.name if len(sources) > 1 else "") for one in sources for image in one.images
              if not image.meta.get("kband_quantity")]  # fmt: skip
    title = f"{', '.join(one.name for one in sources)} against {against}"
    order = _place if len(sources) == 1 else _same
    chosen, title = _choose(sorted(images, key=lambda one: order(one[0])), MOST_PANELS // 3, title)
    for image, _ in chosen:
        if reference_of(image, references) is None:
            known = sorted({reference.slice for reference in references})
            raise ValueError(f"slice {image.slice} has no reference; slices with one are {known}")
    columns = [comparison_panels(image, reference_of(image, references), source=name) for image, name in chosen]
    rows = [panels for block in _rows(columns, COMPARED_ABREAST) for panels in zip(*block, strict=True)]
    return draw(rows, title, as_stored=as_stored)


def with_difference(
    first: Source, second: Source, *, as_stored: bool = False
) -> tuple[Figure, list[str], list[str]]:
    """Draw rows of the images of two files and their five-fold differences; of more than 21 pairs, 21 evenly chosen.

    With it come how each pair agrees, and what has no partner, in sentences. Maps of quantities are left out. Raises
    `ValueError` where no images belong together, or a pair differs in size.
    """
    ours, theirs = (
        _by_what_is_same([image for image in source.images if not image.meta.get("kband_quantity")])
        for source in (first, second)
    )
    keys = sorted(ours.keys() & theirs.keys())
    if not keys:
        raise ValueError(f"{first.name} and {second.name}: no images of the same slice, type and counters")
    agreements = [f"{_counters(ours[key])}: {compare(ours[key], theirs[key])[2]}" for key in keys]
    alone = [f"{_counters(one[key])} of {name} has no partner in {other}"
             for one, name, other in ((ours, first.name, second.name), (theirs, second.name, first.name))
             for key in sorted(one.keys() - set(keys))]  # fmt: skip
    chosen, title = _choose(keys, MOST_PANELS // 3, f"{first.name} against {second.name}")
    rows = [comparison_panels(ours[key], theirs[key], source=first.name, against=second.name) for key in chosen]
    return draw(rows, title, as_stored=as_stored), agreements, alone


def _counters(image: ismrmrd.Image) -> str:
    counted = {"slice": image.slice, "contrast": image.contrast, "repetition": image.repetition}
    return ", ".join(f"{name} {number}" for name, number in counted.items())


def _beside(image: ismrmrd.Image | None, windows: Mapping[Key, Window], source: Source) -> Panel | None:
    if image is None:
        return None
    return image_panel(image, windows[_shows(image)], source=source.name, protocol=source.protocol)


def _place(image: ismrmrd.Image) -> Key:
    """Where an image stands among others: series, type, repetition, contrast; then slice."""
    return image.image_series_index, image.image_type, image.repetition, image.contrast, image.slice


def _kind(image: ismrmrd.Image) -> Key:
    """What images have in common that are compared by eye: series, type and contrast."""
    return image.image_series_index, image.image_type, image.contrast


def _shows(image: ismrmrd.Image) -> Key:
    """What an image shows, whatever made it."""
    return str(image.meta.get("kband_quantity") or ""), image.image_type, image.contrast


def _same(image: ismrmrd.Image) -> Key:
    """What images of several files have in common that are set side by side."""
    return (*_shows(image), image.repetition, image.set, image.phase, image.average, image.slice)


def _by_what_is_same(images: Sequence[ismrmrd.Image]) -> dict[Key, ismrmrd.Image]:
    """Images by `_same`; those of a file that it does not tell apart, such as of two encodings, are numbered."""
    found: dict[Key, ismrmrd.Image] = {}
    times = Counter[Key]()
    for image in sorted(images, key=_place):
        found[(*_same(image), times[_same(image)])] = image
        times[_same(image)] += 1
    return found


def _windows(
    images: Sequence[ismrmrd.Image], kind: Callable[[ismrmrd.Image], Key], of: str, *, overrides: bool = False
) -> dict[Key, Window]:
    alike: dict[Key, list[ismrmrd.Image]] = {}
    for image in images:
        alike.setdefault(kind(image), []).append(image)
    return {key: Window(common_window(found), of, overrides) for key, found in alike.items()}


def _choose(items: Sequence, most: int, title: str) -> tuple[list, str]:
    if len(items) <= most:
        return list(items), title
    chosen = np.linspace(0, len(items) - 1, most).round().astype(int)
    return [items[n] for n in chosen], f"{title} · {most} of {len(items)} images, evenly chosen"


def _rows(items: Sequence, n_columns: int) -> list[Sequence]:
    return [items[n : n + n_columns] for n in range(0, len(items), n_columns)]
