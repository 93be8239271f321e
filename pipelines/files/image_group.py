"""Images inside an HDF5 file, in the layout of the ISMRMRD library: one variable holds headers, attributes and data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import ParseError

import h5py
import numpy as np

from gadgets.mrd import ismrmrd

PARTS = ("header", "attributes", "data")


class ImageGroup:
    """Append images to a group: to `image_<series>`; to `image_<series>_1` where size or type differ in a series."""

    def __init__(self, group: h5py.Group) -> None:
        self._group = group
        self._variables: dict[tuple[int, tuple[int, ...], str], h5py.Group] = {}

    def append(self, image: ismrmrd.Image) -> None:
        """Add one image behind those of its kind."""
        # Stock readers decode attributes as ASCII; a reference such as &#233; is the same XML to all of them.
        attributes = image.attribute_string.encode("ascii", "xmlcharrefreplace")
        header = image.getHead()
        header.attribute_string_len = len(attributes)
        stored = ismrmrd.hdf5.get_hdf5type(image.data_type)
        variable = self._variable(image, stored)
        n = len(variable["header"])
        for part in PARTS:
            variable[part].resize(n + 1, axis=0)
        variable["header"][n] = np.frombuffer(header, ismrmrd.hdf5.image_header_dtype)[0]
        variable["attributes"][n] = attributes
        variable["data"][n] = np.ascontiguousarray(image.data).view(stored) if stored.names else image.data

    def _variable(self, image: ismrmrd.Image, stored: np.dtype) -> h5py.Group:
        series, shape = image.image_series_index, image.data.shape
        kind = series, shape, stored.str
        if kind not in self._variables:
            n_others = sum(other == series for other, _, _ in self._variables)
            suffix = f"_{n_others}" if n_others else ""
            variable = self._group.create_group(f"image_{series}{suffix}")
            kind_of_header, text = ismrmrd.hdf5.image_header_dtype, h5py.special_dtype(vlen=bytes)
            variable.create_dataset("header", (0,), kind_of_header, maxshape=(None,), fletcher32=True)
            variable.create_dataset("attributes", (0,), text, maxshape=(None,))  # of texts HDF5 makes no checksums
            variable.create_dataset("data", (0, *shape), stored, maxshape=(None, *shape), chunks=(1, *shape),
                                    fletcher32=True)
            self._variables[kind] = variable
        return self._variables[kind]


def images_below(group: h5py.Group) -> Iterator[ismrmrd.Image]:
    """Read all images of a group and of the groups in it, image_2 before image_10. Raises `ValueError`."""
    if all(part in group for part in PARTS):
        yield from _variable_images(group)
        return
    for name in sorted(group, key=_numbers_by_value):
        if isinstance(group[name], h5py.Group):
            yield from images_below(group[name])


def _variable_images(variable: h5py.Group) -> Iterator[ismrmrd.Image]:
    try:
        headers, attributes = variable["header"][()], np.ravel(variable["attributes"][()])
        for number, (header, text) in enumerate(zip(headers, attributes, strict=True)):
            image = ismrmrd.Image(header, text.rstrip(b"\0") if isinstance(text, bytes) else text)
            pixels = variable["data"][number]
            if pixels.dtype.names:
                pixels = pixels.view(image.data.dtype)
            image.data[:] = pixels.reshape(image.data.shape)
            yield image
    except (OSError, RuntimeError, ValueError, TypeError, AssertionError, ParseError) as error:
        raise ValueError(f"an image of {variable.name} cannot be read ({error})") from error


def _numbers_by_value(name: str) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", name)]
