"""Acquisitions, buckets and ReconData are three doors to one room: the same scan, the same buffers and verdicts."""

import copy
import random
from dataclasses import dataclass

import ismrmrd
import numpy as np
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gadgets.errors import ScanError
from gadgets.items import ReconBuffer
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.receiving.buffer_intake import BufferIntake
from gadgets.scan import Scan
from gadgets.stock import AcquisitionAccumulateTrigger, BucketToBuffer
from pipelines.protocol.recon_data import decode_recon_data
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming import stock

N_ROWS, N_SAMPLES, N_COILS, CENTRE = 16, 6, 2, 8
ACS = range(5, 11)
HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<experimentalConditions><H1resonanceFrequency_Hz>63870000</H1resonanceFrequency_Hz></experimentalConditions>{}
</ismrmrdHeader>"""
SPACE = "<{0}Space><matrixSize><x>6</x><y>16</y><z>1</z></matrixSize><fieldOfView_mm><x>60</x><y>{1}</y><z>5</z>" \
        "</fieldOfView_mm></{0}Space>"  # fmt: skip
LIMIT = "<{0}><minimum>0</minimum><maximum>{1}</maximum><center>{2}</center></{0}>"


@dataclass(frozen=True)
class Plan:
    """A scan as it is drawn. `averages`: their numbers; `segments` 0: linear; `lost` and `spoilt`: of 100 lines."""

    acceleration: int
    mode: str
    n_slices: int
    n_repetitions: int
    averages: tuple[int, ...]
    n_segments: int
    first_row: int
    reference: str
    n_encodings: int
    lost: int
    spoilt: int
    acs_lines: int
    seed: int


plans = st.builds(
    Plan, acceleration=st.sampled_from([1, 2, 3]), mode=st.sampled_from(["embedded", "separate", "interleaved"]),
    n_slices=st.integers(1, 2), n_repetitions=st.integers(1, 4), averages=st.sampled_from([(0,), (0, 1), (0, 2)]),
    n_segments=st.integers(1, 3), first_row=st.sampled_from([0, 3]),
    reference=st.sampled_from(["flagged", "extra alone flagged", "in even repetitions", "before", "after", "none"]),
    n_encodings=st.integers(1, 2), lost=st.sampled_from([0, 0, 4]), spoilt=st.sampled_from([0, 0, 4]),
    acs_lines=st.sampled_from([4, 6]), seed=st.integers(0, 99),
)  # fmt: skip


def header_of(plan: Plan) -> str:
    """Encoding 1 has another field of view."""
    counters = {
        "kspace_encoding_step_1": (N_ROWS - 1, CENTRE), "kspace_encoding_step_2": (0, 0),
        "average": (max(plan.averages), 0), "slice": (plan.n_slices - 1, 0),
        "repetition": (plan.n_repetitions - 1, 0),
    }  # fmt: skip
    limits = "".join(LIMIT.format(name, *limit) for name, limit in counters.items())
    parallel = "" if plan.acceleration == 1 else (
        f"<parallelImaging><accelerationFactor><kspace_encoding_step_1>{plan.acceleration}</kspace_encoding_step_1>"
        "<kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>"
        f"<calibrationMode>{plan.mode}</calibrationMode></parallelImaging>"
    )  # fmt: skip
    encodings = [
        f"<encoding>{SPACE.format('encoded', fov)}{SPACE.format('recon', fov)}<encodingLimits>{limits}</encodingLimits>"
        f"<trajectory>cartesian</trajectory>{parallel}</encoding>"
        for fov in (80, 40)[: plan.n_encodings]
    ]
    return HEADER.format("".join(encodings))


def lines_of(plan: Plan) -> list[ismrmrd.Acquisition]:
    rng, luck = np.random.default_rng(plan.seed), random.Random(plan.seed)

    def line(row, flag=None, **counters):
        data = rng.standard_normal((N_COILS, 2 * N_SAMPLES)).astype(np.float32).view(np.complex64)
        made = ismrmrd.Acquisition.from_array(data)
        made.center_sample, made.sample_time_us = N_SAMPLES // 2, 5.0
        made.idx.kspace_encode_step_1 = row
        made.encoding_space_ref = counters.pop("encoding")
        for name, value in counters.items():
            setattr(made.idx, name, value)
        if flag:
            made.set_flag(flag)
        if luck.randrange(100) < plan.spoilt:
            data[0, 0] = np.nan
        return made

    shifts = plan.mode == "interleaved" and plan.acceleration > 1
    is_flagged = plan.reference not in ("before", "after", "none") and plan.acceleration > 1 and not shifts
    scan = []
    for repetition in range(plan.n_repetitions):
        is_own = is_flagged and not (plan.reference == "in even repetitions" and repetition % 2)
        for average in plan.averages:
            images = []
            for encoding in range(plan.n_encodings):
                for slice_ in range(plan.n_slices):
                    grid = range((repetition if shifts else 0) % plan.acceleration, N_ROWS, plan.acceleration)
                    grid = [row for row in grid if row >= plan.first_row]
                    rows = sorted({*grid, *(ACS if is_own else ())})
                    counters = {"encoding": encoding, "slice": slice_, "repetition": repetition, "average": average}
                    on_grid = None if plan.reference == "extra alone flagged" else 21
                    own = {row: on_grid if row in grid else 20 for row in ACS}
                    images.append([line(row, own.get(row) if is_own else None, **counters) for row in rows])
            n = plan.n_segments
            for start in range(n):
                for image in images:
                    for one in image[start::n]:
                        one.idx.segment = start
                        scan.append(one)
    references = [
        line(row, 20, encoding=encoding, slice=slice_)
        for encoding in range(plan.n_encodings)
        for slice_ in range(plan.n_slices)
        for row in ACS
        if plan.reference in ("before", "after") and plan.acceleration > 1
    ]
    scan = [*references, *scan] if plan.reference == "before" else [*scan, *references]
    return [one for one in scan if luck.randrange(100) >= plan.lost]


def through(scan: Scan, items, *gadgets) -> tuple[dict, str | None]:
    """Buffers by their image, and the sentence with which the scan ends, without the door's name."""
    buffers, sentence = {}, None
    for gadget in gadgets:
        gadget.open(scan)
        items = gadget.process(items)
    try:
        for item in items:
            if isinstance(item, ReconBuffer):
                index = item.headers[0, 0, 0].idx
                buffers[item.encoding.index, index.slice, index.repetition] = item
    except ScanError as error:
        sentence = str(error).partition(": ")[2]
    return buffers, sentence


def check_equal(one: ReconBuffer, other: ReconBuffer) -> None:
    assert torch.equal(one.sampling.mask, other.sampling.mask)
    for name in ("kspace", "acs"):
        mine, its = getattr(one, name), getattr(other, name)
        assert (mine is None) == (its is None), name
        assert mine is None or torch.equal(mine, its), name
    assert one.counts[0, 0, 0] == other.counts[0, 0, 0]
    for name in ("readout", "acs_row", "problems"):
        assert getattr(one, name) == getattr(other, name), name
    assert bytes(one.headers[0, 0, 0]) == bytes(other.headers[0, 0, 0])


def through_doors(
    header: str, lines: list[ismrmrd.Acquisition], acs_lines: int
) -> dict[str, tuple[dict, str | None]]:
    scan, intake = Scan.from_xml(header), {"device": "cpu", "acs_lines": acs_lines}
    trigger = AcquisitionAccumulateTrigger(trigger_dimension="repetition", sorting_dimension="slice")
    stock_buffer = BucketToBuffer(N_dimension="average", split_slices=True, ignore_segment=True)
    messages = stock.recon_data(header, copy.deepcopy(lines))
    decoded = (data for raw in messages for data in decode_recon_data(by_hand.read_one(raw), scan))
    return {
        "acquisitions": through(scan, iter(lines), AcquisitionBuffer(**intake)),
        "buckets": through(scan, iter(lines), trigger, stock_buffer, BufferIntake(**intake)),
        "ReconData": through(scan, decoded, BufferIntake(**intake)),
    }


@settings(max_examples=100, deadline=None, derandomize=True, phases=(Phase.generate,))  # shrinking takes minutes
@given(plans)
def test_the_three_doors_give_the_same(plan):
    """Bit for bit: buffers, calibration, counts, remarks, and what is said of the scan as a whole."""
    through_door = through_doors(header_of(plan), lines_of(plan), plan.acs_lines)
    buffers, sentence = through_door.pop("acquisitions")
    for others, said in through_door.values():
        assert others.keys() == buffers.keys()
        for key, buffer in buffers.items():
            check_equal(others[key], buffer)
        assert said == sentence


def test_a_lost_last_line_is_missed_in_every_door():
    """Two segments, of which the scanner marks the ends, rows 0 to 6 and 8 to 14; 14 is lost: 7 of 8, not 7 of 7."""
    plan = Plan(2, "separate", 1, 1, (0,), 1, 0, "none", 1, 0, 0, 4, 0)
    header, lines = header_of(plan), lines_of(plan)
    for line in lines:
        line.idx.segment = line.idx.kspace_encode_step_1 // 8
        if line.idx.kspace_encode_step_1 in (0, 8):
            line.set_flag(ismrmrd.ACQ_FIRST_IN_ENCODE_STEP1)
        if line.idx.kspace_encode_step_1 in (6, 14):
            line.set_flag(ismrmrd.ACQ_LAST_IN_ENCODE_STEP1)
    counts = [by_door[0][0, 0, 0].counts[0, 0, 0] for by_door in through_doors(header, lines[:-1], 4).values()]
    assert counts == [(7, 8)] * 3
