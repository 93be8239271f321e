"""A card states what a network was shown, be it left out by the recipe or by the scanner."""

from dataclasses import replace

import pytest
import torch

from kband_core.bands import band_mask
from kband_core.fourier import to_kspace
from kband_core.model_card import Limits
from kband_core.models import load_card
from kband_core.training.dataset import Plane, PlaneWriter
from kband_core.training.limits import covered
from kband_core.training.material import find_material
from kband_core.training.recipe import parse_recipe, read_recipe
from tests.training.tiny import TINY

N = 48
ROWS = torch.arange(N)[:, None]
FULL = ROWS >= 0
FOURFOLD = (ROWS % 4 == 0) | ((ROWS >= 20) & (ROWS < 28))  # 12 + 6 of 48 lines, 9 of them adjacent in the centre
PADDED = (ROWS >= 6) & (ROWS < 42)


def plane(mask, subject):
    kspace = torch.randn(2, N, N, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    return Plane(kspace * mask, mask, torch.ones(1, 2, N, N, dtype=torch.complex64), subject)


@pytest.fixture
def limits(tmp_path):
    """Maker of the limits of a training on planes, each there twice: of a subject to train on, and of one held out."""

    def make(*planes, **supervision):
        with PlaneWriter(tmp_path / "planes.h5") as writer:
            for one in planes:
                for subject in "ab":
                    writer.append(replace(one, subject=subject))
        supervision = {"sampling": "lines", "line_acceleration": 2, "acs_lines": 8, **supervision}
        data = {"planes": str(tmp_path / "planes.h5")}
        recipe = parse_recipe({**TINY, "supervision": supervision, "data": data}, "tiny")
        return covered(recipe, find_material(recipe, None))

    return make


def test_full_planes_are_seen_as_the_recipe_says(limits):
    """10 % about the accelerations that are drawn."""
    found = limits(plane(FULL, "a"), name="supervised", line_acceleration=[2, 3], acs_lines=[8, 10])
    told = {name: found[name] for name in ("acceleration", "matrix", "acs_lines", "sampling")}
    assert told == {"acceleration": (1.8, 3.3), "matrix": (N, N), "acs_lines": 8, "sampling": ("lines",)}


def test_ssdu_sees_an_accelerated_scan_as_it_came(limits):
    """The very scans that were trained on lie within the card: 18 of 48 lines, R=2.67, whatever the recipe draws."""
    found = limits(plane(FOURFOLD, "a"), name="ssdu", line_acceleration=16)
    assert found["acceleration"] == (pytest.approx(0.9 * 48 / 18, abs=0.01), pytest.approx(1.1 * 48 / 18, abs=0.01))
    assert found["acs_lines"] == 9
    both = limits(plane(FOURFOLD, "a"), plane(FULL, "a"), name="ssdu", line_acceleration=4)
    assert both["acceleration"] == (pytest.approx(0.9 * 48 / 18, abs=0.01), 4.4)
    assert both["acs_lines"] == 8


def test_ssdu_sees_samples_where_samples_lack(limits):
    """A plane undersampled along both axes shows no network what lines are."""
    disc = (ROWS + torch.arange(N)) % 3 == 0
    found = limits(plane(disc, "a"), name="ssdu")
    assert found["sampling"] == ("samples",)
    assert found["acceleration"] == (2.7, 3.3)


def test_any_sampling_is_lines_and_samples(limits):
    """A model that was shown all patterns takes scans of lines, and volumes undersampled along both axes."""
    pytest.importorskip("sigpy")
    assert limits(plane(FULL, "a"), name="supervised", sampling="any")["sampling"] == ("lines", "samples")


@pytest.mark.parametrize("name", ["supervised", "kband", "vertical", "square"])
def test_lines_are_left_out_of_what_was_acquired(name, limits):
    """Two halves drawn at random have fewer lines than either: the network never saw R=2.2, but R=3 and more."""
    slowest, fastest = limits(plane(FOURFOLD, "a"), name=name)["acceleration"]
    assert slowest > 0.9 * 48 / 18
    assert fastest < 1.1 * 48 / 8  # the centre is always there


def test_lines_drawn_in_the_padding_show_nothing(limits):
    """36 of 48 lines were acquired: of the equispaced third of all, a quarter lies in the padding."""
    equispaced = {"sampling": "equispaced", "line_acceleration": 3, "acs_lines": 4}
    found = limits(plane(PADDED, "a"), name="ssdu", **equispaced)
    n_seen = 36 / 3 + 4 * 2 / 3  # of the 4 calibration lines one or two are on the grid
    assert found["acceleration"] == pytest.approx((0.9 * 48 / n_seen, 1.1 * 48 / n_seen), rel=0.05)
    assert found["acs_lines"] == 4


def test_a_band_does_not_count_as_undersampling(limits):
    """At work the network sees the full extent of k-space."""
    band = replace(plane(band_mask((N, N), 4, 0.0), "a"), angle=0.0, band_acceleration=4.0)
    assert limits(band, name="kband")["acceleration"] == (1.8, 2.2)


@pytest.mark.parametrize("sampling", ["lines", "equispaced", "mixed"])
def test_the_spacing_does_not_count_calibration_lines(sampling, limits):
    """Up to every 5th line; random lines of R=5 leave out more between them than a grid of 5 does."""
    found = limits(plane(FULL, "a"), name="supervised", sampling=sampling, line_acceleration=[2, 5], acs_lines=8)
    assert found["spacing"] == 5


def test_a_grid_that_was_acquired_is_the_spacing(limits):
    """Every 4th line, whose acceleration with calibration lines is 2.67."""
    assert limits(plane(FOURFOLD, "a"), name="ssdu")["spacing"] == 4


def test_planes_of_a_file_tell_coils_snr_and_what_maps_leave_out(limits):
    """A square of brightness 1 in noise of 0.02, no maps of its upper quarter; 10 % of tolerance, 15 % of ringing."""
    square = torch.zeros(N, N, dtype=torch.complex64)
    square[8:40, 8:40] = 0.5**0.5
    one = plane(FULL, "a")
    csm = one.csm.clone()
    csm[..., :16, :] = 0
    found = limits(replace(one, kspace=to_kspace(square) + 0.02 * one.kspace, csm=csm), name="supervised")
    assert found["coils"] == (2, 2)
    assert found["snr"] == pytest.approx(0.9 / 0.02, rel=0.15)
    assert found["unmapped"] == pytest.approx(1.1 * 0.25, abs=0.04)


@pytest.mark.parametrize("name", ["simulated_small", "simulated_fast", "simulated_kband"])
def test_simulated_scans_tell_what_the_simulation_draws(name, monkeypatch):
    """The card that ships says what training by its recipe would write: noise of up to 0.08 of the brightness."""
    monkeypatch.delenv("KBAND_MODELS", raising=False)
    recipe = read_recipe(name)
    assert load_card(name).limits == Limits(**covered(recipe, find_material(recipe, None)))
