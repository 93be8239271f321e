"""Lines of MRD 2 as those of MRD 1, and images back.

MRD 2 counts time in nanoseconds, MRD 1 in ticks of the vendor. A tick is taken for a millisecond, as mrd-python's own
converter takes it.
"""

from __future__ import annotations

import mrd
import numpy as np

from gadgets.mrd import ismrmrd
from pipelines.protocol.framing import WireError
from pipelines.protocol.layouts import PIXELS

NS_PER_TICK, NS_PER_DAY = 1_000_000, 86_400_000_000_000
LARGEST = 65535  # of a counter or size of MRD 1
STEPS = ("kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast", "phase", "repetition", "set",
         "segment")  # fmt: skip
VECTORS = ("position", "read_dir", "phase_dir", "slice_dir", "patient_table_position")
OTHER_NAMES = {"read_dir": "col_dir", "phase_dir": "line_dir"}  # of images
COUNTERS = ("average", "slice", "contrast", "phase", "repetition", "set", "image_index", "image_series_index")
ITEMS = {
    np.uint16: mrd.StreamItem.ImageUint16, np.int16: mrd.StreamItem.ImageInt16, np.uint32: mrd.StreamItem.ImageUint32,
    np.int32: mrd.StreamItem.ImageInt32, np.float32: mrd.StreamItem.ImageFloat, np.float64: mrd.StreamItem.ImageDouble,
    np.complex64: mrd.StreamItem.ImageComplexFloat, np.complex128: mrd.StreamItem.ImageComplexDouble,
}  # fmt: skip


def decode_line(line: mrd.Acquisition) -> ismrmrd.Acquisition:
    """Return the MRD 1 acquisition. An echo whose place MRD 2 does not tell is in the middle.

    Raises `WireError` for what MRD 1 cannot say.
    """
    said, (n_coils, n_samples) = line.head, line.data.shape
    if line.phase is not None and np.any(line.phase):
        raise WireError("a line has phase offsets of its own, which are not applied here")
    trajectory = _trajectory(line.trajectory, n_samples)
    head = ismrmrd.AcquisitionHeader()
    head.version, head.flags, head.measurement_uid = 1, int(said.flags), said.measurement_uid
    head.scan_counter = said.scan_counter or 0
    head.acquisition_time_stamp = _ticks(said.acquisition_time_stamp_ns)
    _fill(head.physiology_time_stamp, [_ticks(stamp) for stamp in said.physiology_time_stamp_ns])
    head.sample_time_us = (said.sample_time_ns or 0) / 1000
    sizes = {
        "number_of_samples": n_samples, "active_channels": n_coils, "available_channels": n_coils,
        "trajectory_dimensions": trajectory.shape[1], "discard_pre": said.discard_pre or 0,
        "discard_post": said.discard_post or 0, "encoding_space_ref": said.encoding_space_ref or 0,
        "center_sample": n_samples // 2 if said.center_sample is None else said.center_sample,
    }  # fmt: skip
    for name, value in sizes.items():
        setattr(head, name, _small(value, name))
    for name in STEPS:
        setattr(head.idx, name, _small(getattr(said.idx, name) or 0, name))
    _fill(head.idx.user, [_small(value, "a user counter") for value in said.idx.user])
    for name in VECTORS:
        getattr(head, name)[:] = getattr(said, name).tolist()
    _fill(head.user_int, said.user_int)
    _fill(head.user_float, said.user_float)
    return ismrmrd.Acquisition(head, np.ascontiguousarray(line.data), trajectory)


def encode_image(image: ismrmrd.Image) -> mrd.StreamItem:
    """Return the MRD 2 image: pixels, header and meta as they are; numbers in the meta are numbers."""
    head = image.getHead()
    pixels = image.data.astype(PIXELS[head.data_type], copy=False)  # the library keeps int32 pixels in 64 bits
    said = mrd.ImageHeader(
        image_type=mrd.ImageType(head.image_type or ismrmrd.IMTYPE_MAGNITUDE), flags=mrd.ImageFlags(head.flags),
        measurement_uid=head.measurement_uid, field_of_view=np.array(head.field_of_view, np.float32),
        acquisition_time_stamp_ns=head.acquisition_time_stamp * NS_PER_TICK,
        physiology_time_stamp_ns=[stamp * NS_PER_TICK for stamp in head.physiology_time_stamp],
        user_int=list(head.user_int), user_float=list(head.user_float),
        **{OTHER_NAMES.get(name, name): np.array(getattr(head, name), np.float32) for name in VECTORS},
        **{name: getattr(head, name) for name in COUNTERS},
    )  # fmt: skip
    meta = {key: [_typed(each) for each in (value if isinstance(value, list) else [value])]
            for key, value in image.meta.items()}  # fmt: skip
    return ITEMS[pixels.dtype.type](mrd.Image(head=said, data=pixels, meta=meta))


def _trajectory(given: np.ndarray, n_samples: int) -> np.ndarray:
    """Return `(sample, dimension)`; MRD 2 has the other order, but mrd-python's converter writes this one."""
    if given.size == 0:
        return np.zeros((n_samples, 0), np.float32)
    if n_samples not in given.shape:
        raise WireError(f"a line of {n_samples:,} samples has a trajectory of {' × '.join(map(str, given.shape))}")
    return np.ascontiguousarray(given.T if given.shape[1] == n_samples else given)


def _ticks(nanoseconds: int | None) -> int:
    """Return a time of day in MRD 1's ticks: 32 bits cannot hold a date."""
    return (nanoseconds or 0) % NS_PER_DAY // NS_PER_TICK


def _small(value: int, name: str) -> int:
    if value > LARGEST:
        raise WireError(f"{name} of a line is {value:,}, at most {LARGEST:,} are read")
    return value


def _fill(field: object, values: list) -> None:
    """Write as many values as both have into a field of fixed length."""
    n_values = min(len(values), len(field))
    field[:n_values] = values[:n_values]


def _typed(text: object) -> mrd.ImageMetaValue:
    """Return a number where its text is that number, in no other spelling."""
    text = str(text)
    for number, kind in ((int, mrd.ImageMetaValue.Int64), (float, mrd.ImageMetaValue.Float64)):
        try:
            if str(value := number(text)) == text and abs(value) < 1 << 63:
                return kind(value)
        except ValueError:
            continue
    return mrd.ImageMetaValue.String(text)
