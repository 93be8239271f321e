"""The contract that every registered gadget keeps."""

import functools

import ismrmrd
import pytest

import gadgets  # noqa: F401  registers every gadget
from gadgets.errors import PipelineError, ScanError
from gadgets.gadget import REGISTRY, gadget_class
from gadgets.items import Aside, ImageArray
from gadgets.scan import Scan
from pipelines.simulation.simulated_echoes import Echoes, simulate_echoes
from pipelines.simulation.simulated_multiband import Excitation, simulate_multiband
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.gadgets.samples import echo_samples_of, multiband_samples_of, radial_samples_of, samples_of

OURS = {cls for cls in REGISTRY.values() if cls.__module__.startswith("gadgets.")}
GADGETS = sorted(OURS, key=lambda cls: cls.__name__)
OF_SEVERAL_SLICES = {"MultibandBuffer", "MultibandSenseRecon"}
OF_ECHOES = {"GatheredEchoes", "WaterFat"}
OF_ALL_LINES = {"ActiveAcquisition"}
ALONG_TRAJECTORIES = {"TrajectoryBuffer", "NufftSenseRecon", "NufftKBandRecon", "PktRecon"}
# an exam that ends without a line is theirs to tell
PROMISE_AN_IMAGE = {"AcquisitionBuffer", "BufferIntake", "MultibandBuffer", "TrajectoryBuffer"}
ACCEPTED = [pytest.param(cls, kind, id=f"{cls.__name__}-{kind.__name__}") for cls in GADGETS for kind in cls.accepts]


def kinds_of(items) -> set[type]:
    """Kinds of items; lines that bring notes along are lines."""
    return {ismrmrd.Acquisition if isinstance(item, ismrmrd.Acquisition) else type(item) for item in items}


@pytest.fixture(params=GADGETS, ids=lambda cls: cls.__name__)
def cls(request):
    return request.param


@pytest.fixture(scope="session")
def scan_for(head_scan):
    """Maker of the scan that a gadget is for: of a head, R=2 with embedded calibration lines, of two slices at once,
    radial, of three echoes, or of all lines."""

    @functools.cache
    def scan_for(cls):
        if cls.__name__ in OF_SEVERAL_SLICES:
            return Scan.from_xml(_multiband()[0])
        if cls.__name__ in OF_ECHOES:
            return Scan.from_xml(_echoes()[0])
        if cls.__name__ in OF_ALL_LINES:
            return Scan.from_xml(_all_lines()[0])
        return Scan.from_xml(_radial()[0]) if cls.__name__ in ALONG_TRAJECTORIES else head_scan(acceleration=2)

    return scan_for


@functools.cache
def _radial():
    pytest.importorskip("finufft")
    return simulate_scan(Protocol(matrix=64, n_coils=4, n_slices=1, trajectory="radial", noise_scan=False))


@functools.cache
def _echoes():
    return simulate_echoes(Protocol(matrix=32, n_coils=4, n_slices=1, acceleration=1), Echoes((1.1, 2.0, 3.2)))


@functools.cache
def _all_lines():
    return simulate_scan(Protocol(matrix=32, n_coils=4, n_slices=1, acceleration=1, noise_scan=False))


@functools.cache
def _multiband():
    return simulate_multiband(Protocol(matrix=48, n_slices=2, acceleration=1, noise_scan=False), Excitation(2, 2))


@pytest.fixture(scope="session")
def samples_for(scan_for, lines_of):
    """Maker of items of every kind that such a scan makes on its way."""

    @functools.cache
    def samples(is_radial, is_folded, is_of_echoes, is_of_all_lines):
        if is_of_all_lines:
            return _all_lines()[1]
        if is_of_echoes:
            return echo_samples_of(Scan.from_xml(_echoes()[0]), _echoes()[1])
        if is_folded:
            return multiband_samples_of(Scan.from_xml(_multiband()[0]), _multiband()[1])
        if is_radial:
            return radial_samples_of(Scan.from_xml(_radial()[0]), _radial()[1])
        return samples_of(scan_for(object), list(lines_of(2)))

    kinds = (ALONG_TRAJECTORIES, OF_SEVERAL_SLICES, OF_ECHOES, OF_ALL_LINES)
    return lambda cls: samples(*(cls.__name__ in names for names in kinds))


@pytest.fixture
def samples(cls, samples_for):
    return samples_for(cls)


@pytest.fixture
def opened(cls, scan_for):
    gadget = cls.from_properties({})
    gadget.open(scan_for(cls))
    return gadget


@pytest.fixture(scope="session")
def yielded(scan_for, samples_for):
    """Maker of all that a gadget yields when it gets the samples of these kinds; each is made once."""
    made = {}

    def yielded(cls, kinds):
        if (cls, kinds) not in made:
            gadget = cls.from_properties({})
            gadget.open(scan_for(cls))
            made[cls, kinds] = list(gadget.process(item for item in samples_for(cls) if isinstance(item, kinds)))
        return made[cls, kinds]

    return yielded


def test_neighbours_are_told_by_types(cls):
    """A chain is checked by what its gadgets accept and emit."""
    for kinds in (cls.accepts, cls.emits):
        assert isinstance(kinds, tuple)
        assert kinds
        assert all(isinstance(kind, type) for kind in kinds)


def test_there_is_a_sample_of_every_kind_that_flows(cls, samples):
    """A gadget that is never shown what it accepts is not tested here at all."""
    assert [kind.__name__ for kind in cls.accepts if not any(isinstance(item, kind) for item in samples)] == []


@pytest.mark.parametrize(("cls", "kind"), ACCEPTED)
def test_each_kind_that_is_accepted_is_taken_alone(cls, kind, yielded):
    """A scan without calibration lines has no `Calibration`; what comes of it is of the kinds that were announced."""
    assert kinds_of(yielded(cls, (kind,))) <= {*cls.emits, Aside}


def test_what_is_emitted_is_what_was_announced(cls, yielded):
    """No more, or a chain breaks in mid-scan that was found good; no less, or good chains are refused."""
    assert kinds_of(yielded(cls, cls.accepts)) - {Aside} == set(cls.emits)


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


def test_stopping_early_is_no_error(cls, opened, samples):
    """The host stops when a client leaves; the items that were never asked for are not missed."""
    items = opened.process(item for item in samples if isinstance(item, cls.accepts))
    next(items)
    items.close()
    assert list(items) == []


def test_image_arrays_and_images_are_both_split():
    """The one stock gadget that accepts two kinds."""
    assert set(gadget_class("ImageArraySplitGadget").accepts) == {ImageArray, ismrmrd.Image}
