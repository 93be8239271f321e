"""The first choice, what it falls back to, and marks that tell them apart, with methods made for the purpose."""

import threading
from dataclasses import dataclass, field

import pytest
import torch

from gadgets.errors import ScanError
from gadgets.images.quantitative import GFACTOR
from gadgets.items import Calibration, ImageArray
from gadgets.recon import map_series
from gadgets.recon.reconstruction import Map, Method, Reconstruction, Refusal
from gadgets.recon.reconstructor import Reconstructor
from pipelines.chain.time_limit import within
from tests.gadgets.streams import N_LINES, N_SAMPLES, images, with_encoding


@dataclass
class Made(Method):
    """Makes images of one value, or raises what stands in its place."""

    value: float | Exception
    label: str = "made"
    notes: dict[str, str] = field(default_factory=dict)
    maps: dict[str, Map] = field(default_factory=dict)
    prepared: list[Calibration] = field(default_factory=list)

    def prepare(self, calibration):
        self.prepared.append(calibration)

    def reconstruct(self, buffer):
        if isinstance(self.value, Exception):
            raise self.value
        return Reconstruction(torch.full((1, N_LINES, N_SAMPLES), self.value + 0j), self.maps, self.notes)


@dataclass
class Hanging(Method):
    """Never ends, unless told to."""

    end: threading.Event = field(default_factory=threading.Event)
    label: str = "slow"

    def reconstruct(self, buffer):
        self.end.wait(20)
        raise ValueError("told to end")


@dataclass
class Gain(Map):
    """A g-factor of one value, which notes when it is computed."""

    value: float
    computed: list[float]

    def compute(self):
        self.computed.append(self.value)
        return torch.full((1, N_LINES, N_SAMPLES), self.value)


@pytest.fixture
def lines(make_acquisition, kspace):
    return [make_acquisition(kspace[:, row], kspace_encode_step_1=row) for row in (*range(0, N_LINES, 2), 3, 5)]


@pytest.fixture
def buffer(scan_of, lines):
    """An image of 8 lines, of an encoding that announces R=2."""
    return images(scan_of(acceleration=2), lines)[0]


def reconstructed(buffer, *methods, combines=lambda _: False, **options) -> ImageArray:
    (array,) = Reconstructor("SomeRecon", methods, combines, **options).process([buffer])
    return array


def test_the_first_method_that_can_makes_the_image(buffer):
    """What it makes is marked by the sentences of those before it; it says so in its series too."""
    failing = Made(ValueError("too noisy"), "first"), Made(RuntimeError("no kernel"), "second")
    array = reconstructed(buffer, *failing, Made(3.0, "third"))
    meta = array.meta[0, 0, 0]
    assert meta["kband_method"] == "third"
    assert meta["kband_fallback"] == "SomeRecon: too noisy; second: no kernel"
    assert array.headers[0, 0, 0].image_series_index == 101
    assert (array.data == 3).all()


def test_image_that_nobody_can_be_shown_is_a_failure(buffer):
    """Neither NaN nor a black image leaves as what was asked for."""
    for value in (float("nan"), 0.0):
        array = reconstructed(buffer, Made(value, "first"), Made(3.0, "second"))
        assert array.meta[0, 0, 0]["kband_method"] == "second"


def test_image_that_is_black_where_it_is_shown_is_a_failure(scan_of, lines):
    """Whatever lies beside the field of view that was asked for."""

    @dataclass
    class Beside(Made):
        def reconstruct(self, buffer):
            made = super().reconstruct(buffer)
            made.image[..., 1:5] = 0
            return made

    scan = with_encoding(scan_of(acceleration=2), recon_matrix=(4, N_LINES, 1), recon_fov=(40.0, 80.0, 5.0))
    array = reconstructed(images(scan, lines)[0], Beside(2.0, "first"), Made(3.0, "second"))
    assert array.meta[0, 0, 0]["kband_method"] == "second"
    assert array.meta[0, 0, 0]["kband_fallback"] == "SomeRecon: the image is zero everywhere"


def test_refused_image_is_made_by_no_other(buffer):
    """A method that refuses ends the scan, whatever could be fallen back to."""
    with pytest.raises(ScanError, match=r"^SomeRecon: not mine$"):
        reconstructed(buffer, Made(Refusal("not mine")), Made(3.0))


def test_notes_stand_in_the_meta_and_at_the_end_of_the_comment(buffer):
    """The meta is written once, with all that the method has to say."""
    notes = {"kband_model": "tiny", "ImageComments": "moved a little"}
    meta = reconstructed(buffer, Made(3.0, notes=notes)).meta[0, 0, 0]
    assert meta["kband_model"] == "tiny"
    assert meta["ImageComments"] == meta["GADGETRON_ImageComment"] == "made; moved a little"


def test_where_no_line_was_left_out_coils_are_combined(buffer):
    """No method may sign what it did not make."""
    meta = reconstructed(buffer, Made(3.0), combines=lambda _: True).meta[0, 0, 0]
    assert (meta["kband_method"], meta["kband_fallback"]) == ("coil combination", "no")


def test_only_the_first_choice_prepares(buffer):
    """A fallback that is never needed costs nothing while the scan runs."""
    first, second = Made(3.0), Made(4.0)
    item = Calibration(buffer.acs[0], (N_LINES, N_SAMPLES), buffer.encoding, 0)
    list(Reconstructor("SomeRecon", [first, second], lambda _: False).process([item, buffer]))
    assert (first.prepared, second.prepared) == ([item], [])


def test_late_image_becomes_a_marked_fallback(buffer):
    """A method that hangs on one image costs that image's quality, not the image."""
    slow = Hanging()
    array = reconstructed(buffer, slow, deadline=0.05, limit=within)
    slow.end.set()
    assert array.meta[0, 0, 0]["kband_fallback"] == "SomeRecon: not finished within 0.05 s"
    assert array.data.abs().max() > 0


def test_maps_follow_all_images_until_too_many_wait(buffer, monkeypatch):
    """No image waits for a map, and a long scan keeps no more than so many buffers."""
    monkeypatch.setattr(map_series, "MOST_WAITING", 2)
    computed = []
    method = Made(3.0, maps={GFACTOR.name: Gain(1.5, computed)})
    sent = []
    for array in Reconstructor("SomeRecon", [method], lambda _: False, quantities=[GFACTOR]).process([buffer] * 3):
        sent.append((array.headers[0, 0, 0].image_series_index, len(computed)))
    assert sent == [(1, 0), (1, 0), (11, 1), (11, 2), (1, 2), (11, 3)]


def test_every_image_has_the_map_of_what_made_it(buffer):
    """State that travels beside the images could be another's."""
    method = Made(3.0)

    def items():
        for value in (1.5, 2.5):
            method.maps = {GFACTOR.name: Gain(value, [])}
            yield buffer

    arrays = list(Reconstructor("SomeRecon", [method], lambda _: False, quantities=[GFACTOR]).process(items()))
    assert [array.data.real.mean() / GFACTOR.scale for array in arrays[2:]] == [1.5, 2.5]
