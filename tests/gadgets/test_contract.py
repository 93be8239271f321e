"""The contract that every registered gadget keeps."""

import ismrmrd
import numpy as np
import pytest

import gadgets  # noqa: F401  registers every gadget
from gadgets.errors import PipelineError, ScanError
from gadgets.gadget import REGISTRY, gadget_class
from gadgets.items import Bucket, ImageArray

GADGETS = sorted(set(REGISTRY.values()), key=lambda cls: cls.__name__)
PROMISE_AN_IMAGE = {"AcquisitionBuffer", "BufferIntake"}  # an exam that ends without a line is theirs to tell


@pytest.fixture(params=GADGETS, ids=lambda cls: cls.__name__)
def cls(request):
    return request.param


@pytest.fixture
def opened(cls, minimal_scan):
    gadget = cls.from_properties({})
    gadget.open(minimal_scan())
    return gadget


@pytest.fixture
def sample(cls, make_acquisition, make_image):
    """An item the gadget accepts, or None where one takes more than a few words to make."""
    line, image = make_acquisition(), make_image(np.ones((4, 4), np.float32), image_type=ismrmrd.IMTYPE_MAGNITUDE)
    made = {ismrmrd.Acquisition: line, ismrmrd.Image: image, Bucket: Bucket([line], [])}
    return next((made[kind] for kind in cls.accepts if kind in made), None)


def test_neighbours_are_told_by_types(cls):
    """A chain is checked by what its gadgets accept and emit."""
    for kinds in (cls.accepts, cls.emits):
        assert isinstance(kinds, tuple)
        assert kinds
        assert all(isinstance(kind, type) for kind in kinds)


def test_properties_round_trip(cls):
    """The defaults written as XML texts build the same gadget; each has a description."""
    gadget = cls.from_properties({})
    assert cls.from_properties({p.name: p.default for p in cls.properties()}) == gadget
    assert all(p.description for p in cls.properties())


def test_unknown_property_is_refused(cls):
    """A typing error in an XML must not end as a default."""
    with pytest.raises(PipelineError, match=rf"^{cls.label()}\.no_such_thing: no such property"):
        cls.from_properties({"no_such_thing": "1"})


def test_properties_of_the_stock_alone_are_refused(cls):
    """What only the stock gadget can do must not be silently left out."""
    assert cls.twin_of or not cls.stock_only
    for name in cls.stock_only:
        with pytest.raises(PipelineError, match="honoured only by Gadgetron's own gadget"):
            cls.from_properties({name: "1"})


def test_both_names_find_it(cls):
    """Class name, and stock name of a twin."""
    assert gadget_class(cls.__name__) is cls
    assert gadget_class(cls.label()) is cls


def test_empty_stream_gives_nothing(cls, opened):
    """A configuration sent without a scan runs through; only who promises an image says that there is none."""
    if cls.__name__ in PROMISE_AN_IMAGE:
        with pytest.raises(ScanError, match=rf"^{cls.label()}: "):
            list(opened.process(iter([])))
    else:
        assert list(opened.process(iter([]))) == []


def test_stopping_early_is_no_error(opened, sample):
    """The host stops when a client leaves; the items that were never asked for are not missed."""
    items = opened.process(iter([] if sample is None else [sample] * 3))
    if sample is not None:
        next(items)
    items.close()
    assert list(items) == []


def test_image_arrays_and_images_are_both_split():
    """The one stock gadget that accepts two kinds."""
    assert set(gadget_class("ImageArraySplitGadget").accepts) == {ImageArray, ismrmrd.Image}
