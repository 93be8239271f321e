"""Echoes gathered and mapped: what is said of the maps, and of scans that cannot have any."""

import re

import ismrmrd
import numpy as np
import pytest
import torch

from gadgets.errors import PipelineError, ScanError
from gadgets.images.echo_meta import together
from gadgets.images.echoes import Echoes, GatheredEchoes
from gadgets.images.water_fat import WaterFat
from gadgets.items import Aside, ImageArray
from gadgets.scan import Scan
from gadgets.stock import ComplexToFloat, FloatToUShort, ImageArraySplit
from kband_core.relaxometry.fat_model import synthesise
from pipelines.simulation import simulated_echoes
from pipelines.simulation.simulated_protocol import Protocol
from tests.core.test_relaxometry import body, echoes_of

TIMES = (1.1, 2.0, 3.2, 4.1)
PLAIN = Protocol(matrix=16, n_coils=2, n_slices=1, acceleration=1, noise_scan=False)


@pytest.fixture(scope="module")
def header():
    return simulated_echoes._header(PLAIN, simulated_echoes.Echoes(TIMES, 1.5))


def meta_of(**changed):
    given = {"kband_method": "SENSE", "kband_fallback": "no", "kband_complete": "yes", "kband_lines": "8 of 8",
             "ImageComments": "SENSE", "SequenceDescriptionAdditional": "_SENSE"}  # fmt: skip
    return ismrmrd.Meta({**given, **changed})


def array_of(contrast, pixels=None, *, slice_=0, **changed):
    """One image `(z, y, x)` of a contrast, as a reconstruction sends it."""
    header = ismrmrd.ImageHeader()
    header.contrast, header.slice, header.image_index = contrast, slice_, contrast + 1
    header.image_series_index = 1 if changed.get("kband_fallback", "no") == "no" else 101
    header.image_type = ismrmrd.IMTYPE_MAGNITUDE
    headers, meta = np.empty((1, 1, 1), object), np.empty((1, 1, 1), object)
    headers[0, 0, 0], meta[0, 0, 0] = header, meta_of(**changed)
    pixels = torch.ones(1, 4, 4, dtype=torch.complex64) if pixels is None else pixels
    return ImageArray(pixels[None, None, None, None], headers, meta)


def made_of(gadget, header, items):
    gadget.open(Scan.from_xml(header))
    return list(gadget.process(iter(items)))


def belly(fat, n_z=1):
    """Echoes `(echo, z, y, x)` of an even share of fat, R2* 50/s, at -30 Hz."""
    plane = 100 * torch.polar(torch.ones(n_z, 12, 12), torch.full((n_z, 12, 12), 0.4))
    even = torch.full((n_z, 12, 12), 1.0)
    clean = synthesise(plane * (1 - fat), plane * fat, 50 * even, -30 * even, torch.tensor(TIMES), 1.5)
    return clean + torch.randn(clean.shape, dtype=clean.dtype, generator=torch.Generator().manual_seed(0))


def test_images_leave_before_their_echoes_are_complete(header):
    """No image waits for a map."""
    gadget = GatheredEchoes()
    gadget.open(Scan.from_xml(header))
    arrays = [array_of(contrast) for contrast in range(len(TIMES))]
    kinds = [type(item) for item in gadget.process(iter(arrays))]
    assert kinds == [ImageArray] * len(TIMES) + [Echoes]


def test_echoes_stand_in_their_order_whichever_came_first(header):
    """Echo times are in that of the contrasts."""
    arrays = [array_of(contrast, torch.full((1, 4, 4), 1j * contrast)) for contrast in (2, 0, 3, 1)]
    gathered = made_of(GatheredEchoes(), header, arrays)[-1]
    assert gathered.data[:, 0, 0, 0].imag.tolist() == [0, 1, 2, 3]
    assert [one.contrast for one in gathered.headers] == [0, 1, 2, 3]


def test_maps_that_came_with_images_are_no_echoes(header):
    """A g-factor map has the counters of its image."""
    arrays = [array_of(0), array_of(0, kband_quantity="g-factor"), *(array_of(contrast) for contrast in (1, 2, 3))]
    assert sum(isinstance(item, Echoes) for item in made_of(GatheredEchoes(), header, arrays)) == 1


def test_a_missing_echo_is_said(header):
    """Maps that nobody made must not go unnoticed."""
    arrays = [array_of(contrast, slice_=2) for contrast in (0, 1, 3)]
    with pytest.raises(ScanError, match=r"^GatheredEchoes: slice 2 has 3 of 4 echoes, the first missing is contrast 2"):
        made_of(GatheredEchoes(), header, arrays)


def test_maps_are_made_of_what_came_before_a_scan_broke(header):
    """What could be made is written all the same, and the problem told."""

    def broken():
        yield Echoes(belly(0.3), *zip(*[(array.headers[0, 0, 0], array.meta[0, 0, 0])
                                        for array in map(array_of, range(4))], strict=True))  # fmt: skip
        raise ScanError("3 of 4 images received lines")

    gadget = WaterFat()
    gadget.open(Scan.from_xml(header))
    made = gadget.process(broken())
    assert len([next(made) for _ in range(9)]) == 9
    with pytest.raises(ScanError, match=r"^3 of 4 images received lines$"):
        next(made)


def final(header, fat, n_z=1, **changed):
    """The maps of an even belly as they leave a pipeline, by quantity, in their unit."""
    arrays = [array_of(n, pixels, **changed) for n, pixels in enumerate(belly(fat, n_z))]
    items = made_of(GatheredEchoes(), header, arrays)
    for gadget in (WaterFat(), ImageArraySplit(), ComplexToFloat(), FloatToUShort()):
        items = made_of(gadget, header, items)
    maps = [image for image in items if "kband_quantity" in image.meta]
    return {image.meta["kband_quantity"]: (image, image.data * float(image.meta["RescaleSlope"])
                                           + float(image.meta["RescaleIntercept"])) for image in maps}  # fmt: skip


def test_pixels_mean_what_the_meta_says(header):
    """Series of their own, whole numbers, a slope, an intercept and a unit (noise of 2 % of one pixel in 144)."""
    maps = final(header, 0.3)
    assert list(maps) == ["water", "fat", "PDFF", "R2*", "B0", "SD of PDFF", "SD of R2*", "SD of B0", "unsure"]
    means = {name: float(values.mean()) for name, (_, values) in maps.items()}
    assert means["PDFF"] == pytest.approx(30, abs=1)
    assert means["R2*"] == pytest.approx(50, abs=5)
    assert means["B0"] == pytest.approx(-30, abs=1)
    assert means["water"] == pytest.approx(70, abs=2)
    assert means["fat"] == pytest.approx(30, abs=2)
    assert means["unsure"] == 0
    assert maps["PDFF"][1].std() == pytest.approx(means["SD of PDFF"], rel=0.3)
    units = {name: image.meta.get("RescaleType") for name, (image, _) in maps.items()}
    assert (units["PDFF"], units["R2*"], units["SD of B0"], units["water"]) == ("%", "/s", "Hz", None)
    assert {image.meta["DataRole"] for image, _ in maps.values()} == {"Quantitative"}
    assert {name: image.image_series_index for name, (image, _) in maps.items()}["SD of R2*"] == 32061


def test_partitions_of_a_volume_are_mapped_one_by_one(header):
    """A stack of stars is a volume."""
    _, values = final(header, 0.5, n_z=2)["PDFF"]
    assert values.shape == (1, 2, 12, 12)
    assert values.mean((0, 2, 3)) == pytest.approx([50, 50], abs=2)


def test_a_map_of_fallbacks_is_one(header):
    """Nobody may take it for what was promised."""
    image, _ = final(header, 0.3, kband_fallback="SENSE: no maps", ImageComments="FALLBACK gridding")["PDFF"]
    assert image.image_series_index == 151
    assert image.meta["kband_fallback"] == "SENSE: no maps"
    assert "FALLBACK" in image.meta["ImageComments"]


def test_what_is_wrong_with_one_echo_is_wrong_with_the_map():
    """The worst of all, and who said it."""
    metas = [meta_of(), meta_of(kband_complete="no", kband_lines="7 of 8", ImageComments="SENSE; INCOMPLETE"),
             meta_of(kband_fallback="broken")]  # fmt: skip
    at, meta = together(metas)
    assert at == 2
    assert (meta["kband_complete"], meta["kband_lines"], meta["kband_fallback"]) == ("no", "7 of 8", "broken")
    assert meta["ImageComments"] == "contrast 0, 2: SENSE; contrast 1: SENSE; INCOMPLETE"


def test_echoes_without_phase_have_no_maps(header):
    """What a root sum of squares has lost no fit brings back; the images are sent, and the scan says so."""
    arrays = [array_of(n, pixels.abs() + 0j) for n, pixels in enumerate(belly(0.3))]
    items = made_of(GatheredEchoes(), header, arrays)
    with pytest.raises(ScanError, match=r"^WaterFat: no maps of slice 0: an echo has no phase: it is a root sum of"):
        made_of(WaterFat(), header, items)


def test_scanners_that_turn_the_other_way(header):
    """The same maps of conjugate echoes, if one says so."""
    arrays = [array_of(n, pixels.conj()) for n, pixels in enumerate(belly(0.8))]
    items = made_of(WaterFat(conjugate=True), header, made_of(GatheredEchoes(), header, arrays))
    pdff = next(item for item in items if item.meta[0, 0, 0].get("kband_quantity") == "PDFF")
    assert float(pdff.data.real.mean()) / 20 == pytest.approx(80, abs=2)


def test_phases_that_run_the_other_way_are_told(header):
    """Water and fat change places then, and nothing else would show it."""
    echoes = echoes_of(body(32, 1.5, 0.3), list(TIMES), 1.5)
    arrays = [array_of(n, pixels[None].conj()) for n, pixels in enumerate(echoes)]
    items = made_of(WaterFat(), header, made_of(GatheredEchoes(), header, arrays))
    (aside,) = [item for item in items if isinstance(item, Aside)]
    assert aside.text.startswith("WaterFat: slice 0: SWAPPED? phases the other way round explain the echoes ")
    maps = [item for item in items if isinstance(item, ImageArray) and "kband_quantity" in item.meta[0, 0, 0]]
    assert all("SWAPPED?" in one.meta[0, 0, 0]["ImageComments"] for one in maps)


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        (r"<TE>4.1</TE>", "", "^WaterFat: the header has 3 echo times (TE) for 4 contrasts, one for each expected$"),
        (r"<TE>2.0</TE>", "<TE>1.1</TE>", "^WaterFat: echo times 1.1, 1.1, 3.2, 4.1 ms, some of which are equal, "),
        (r"<systemFieldStrength_T>1.5<", "<systemFieldStrength_T>70<", "^WaterFat: the field strength is 70 T, 0.01 "),
    ],
)
def test_headers_that_do_not_tell_are_refused_before_the_scan(header, was, becomes, said):
    """One sentence, before a line was measured."""
    assert was in header
    with pytest.raises(PipelineError, match=re.sub(r"([().])", r"\\\1", said)):
        WaterFat().open(Scan.from_xml(header.replace(was, becomes)))


def test_an_unknown_field_is_refused(header):
    """Fat's frequency is that of nobody's magnet."""
    bare = re.sub(r"<systemFieldStrength_T>.*?</systemFieldStrength_T>", "", header)
    bare = re.sub(r"(<H1resonanceFrequency_Hz>).*?(</)", r"\g<1>0\g<2>", bare)
    with pytest.raises(PipelineError, match=r"^WaterFat: the field strength is not given, 0.01 to 25 T expected$"):
        WaterFat().open(Scan.from_xml(bare))


def test_an_open_number_of_echoes_is_refused(header):
    """Nobody would know when a slice is complete."""
    bare = re.sub(r"<contrast>.*?</contrast>", "", header, flags=re.DOTALL)
    with pytest.raises(PipelineError, match=r"^GatheredEchoes: the header sets no one number of contrasts, which are"):
        GatheredEchoes().open(Scan.from_xml(bare))
