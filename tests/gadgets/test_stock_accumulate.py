"""AcquisitionAccumulateTrigger, the twin of AcquisitionAccumulateTriggerGadget."""

import pytest

from gadgets.errors import PipelineError
from gadgets.stock import AcquisitionAccumulateTrigger

NOISE, CALIBRATION, CALIBRATION_AND_IMAGING, NAVIGATION, PHASE_CORRECTION = 19, 20, 21, 23, 24


def accumulate(lines, **properties):
    """Buckets as lists of the `scan_counter` of their data."""
    gadget = AcquisitionAccumulateTrigger.from_properties(properties)
    return [[line.scan_counter for line in bucket.data] for bucket in gadget.process(lines)]


@pytest.fixture
def numbered(make_acquisition):
    """Lines numbered from 0, one for each given dictionary of counters."""

    def make(*counters):
        return [make_acquisition(header={"scan_counter": i}, **given) for i, given in enumerate(counters)]

    return make


def test_without_a_trigger_all_leave_at_the_end(numbered):
    """trigger_dimension none: nothing until the scan ends."""
    lines = numbered({"slice": 0}, {"slice": 1}, {"repetition": 1})
    gadget = AcquisitionAccumulateTrigger().process(iter(lines))
    assert [line.scan_counter for line in next(gadget).data] == [0, 1, 2]
    assert list(gadget) == []


@pytest.mark.parametrize("counter", ["kspace_encode_step_1", "average", "slice", "contrast", "phase", "set", "segment"])
def test_fires_before_the_line_that_changes_the_counter(counter, numbered):
    """The line whose counter differs opens the next bucket, even where the counter goes back."""
    lines = numbered(*({counter: value} for value in (0, 0, 1, 1, 0)))
    assert accumulate(lines, trigger_dimension=counter) == [[0, 1], [2, 3], [4]]


def test_bucket_leaves_as_soon_as_the_counter_changes(numbered):
    """Reconstruction starts while the scan goes on."""
    arrived = []

    def arriving():
        for line in numbered({"slice": 0}, {"slice": 1}, {"slice": 1}):
            arrived.append(line.scan_counter)
            yield line

    next(AcquisitionAccumulateTrigger(trigger_dimension="slice").process(arriving()))
    assert arrived == [0, 1]


def test_user_counters_trigger(numbered):
    """user_3 is the fourth of the eight user counters."""
    lines = numbered({}, {"user": (0, 0, 0, 7, 0, 0, 0, 0)}, {"user": (5, 0, 0, 7, 0, 0, 0, 0)})
    assert accumulate(lines, trigger_dimension="user_3") == [[0], [1, 2]]


def test_number_of_lines_triggers_first_and_later(numbered):
    """After 3 lines, then after every 2, then what is left at the end."""
    lines = numbered(*[{}] * 8)
    counted = {"n_acquisitions_before_trigger": "3", "n_acquisitions_before_ongoing_trigger": "2"}
    assert accumulate(lines, trigger_dimension="n_acquisitions", **counted) == [[0, 1, 2], [3, 4], [5, 6], [7]]


def test_one_bucket_per_sorting_index_in_its_order(numbered):
    """Interleaved slices 2, 0, 1 leave as 0, 1, 2, at each trigger."""
    lines = numbered(*({"slice": s, "repetition": r} for r in (0, 1) for s in (2, 0, 1)))
    sorted_buckets = accumulate(lines, trigger_dimension="repetition", sorting_dimension="slice")
    assert sorted_buckets == [[1], [2], [0], [4], [5], [3]]


def test_noise_is_dropped_and_does_not_trigger(numbered):
    """A noise readout has counters of its own, which mean nothing."""
    lines = numbered({"slice": 1}, {"slice": 0}, {"slice": 1})
    lines[1].set_flag(NOISE)
    assert accumulate(lines, trigger_dimension="slice") == [[0, 2]]


@pytest.mark.parametrize(
    ("flags", "in_data", "in_ref"),
    [
        ((), True, False),
        ((CALIBRATION,), False, True),
        ((CALIBRATION_AND_IMAGING,), True, True),
        ((PHASE_CORRECTION,), False, False),
        ((PHASE_CORRECTION, CALIBRATION), False, False),
        ((NAVIGATION,), True, False),
    ],
)
def test_flags_tell_which_list_a_line_joins(flags, in_data, in_ref, make_acquisition):
    """Calibration to `ref`, image to `data`, both to both, phase correction to neither."""
    plain, line = make_acquisition(), make_acquisition(flags=flags)
    (bucket,) = AcquisitionAccumulateTrigger().process([plain, line])
    assert [any(kept is line for kept in lines) for lines in (bucket.data, bucket.ref)] == [in_data, in_ref]


def test_bucket_of_nothing_is_not_sent(make_acquisition):
    """Phase-correction lines alone make no image."""
    assert accumulate([make_acquisition(flags=[PHASE_CORRECTION])]) == []


def test_property_spellings_of_stock_configurations():
    """Stock files leave the sorting empty, or write in capitals; an unknown counter is refused before the scan."""
    gadget = AcquisitionAccumulateTrigger.from_properties({"sorting_dimension": "", "trigger_dimension": "Slice"})
    assert (gadget.sorting_dimension, gadget.trigger_dimension) == ("none", "slice")
    with pytest.raises(PipelineError, match=r"AcquisitionAccumulateTriggerGadget.trigger_dimension: .* got 'slices'"):
        AcquisitionAccumulateTrigger.from_properties({"trigger_dimension": "slices"})
