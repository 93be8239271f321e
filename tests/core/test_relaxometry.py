"""Water, fat, R2* and the field out of echoes made of known ones."""

import math
from itertools import pairwise, product

import pytest
import torch

from kband_core.relaxometry.echo_noise import noise_sd
from kband_core.relaxometry.fat_model import fat_shift_hz, fat_turns, synthesise
from kband_core.relaxometry.min_sum import min_sum
from kband_core.relaxometry.misfit import misfit, products
from kband_core.relaxometry.turning import turning
from kband_core.relaxometry.water_fat import water_fat

EVEN, ODD, THREE = [1.23 * n for n in range(1, 7)], [1.1, 2.0, 3.3, 4.1, 5.9], [1.0, 1.9, 3.1]
SNR = 100.0


def body(n: int, field_t: float, b0_shifts: float) -> dict[str, torch.Tensor]:
    """Fat around 3 % of it, an insert of 30 %, a phase, and a field from -0.6 to 1 times `b0_shifts` shifts of fat."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, n)] * 2, indexing="ij")
    inside, inner = x**2 / 0.8 + y**2 / 0.6 < 1, x**2 / 0.5 + y**2 / 0.35 < 1
    fat = torch.where(inner, torch.where((x - 0.3) ** 2 + y**2 < 0.06, 0.3, 0.03), 0.97)
    phase = SNR * inside * torch.polar(torch.ones(n, n), 0.7 * x + 1.1 * y)
    b0 = b0_shifts * fat_shift_hz(field_t) * (0.8 * x + 0.2)
    return {"water": phase * (1 - fat), "fat": phase * fat, "r2star": torch.where(inner, 60.0, 40.0), "b0": b0,
            "inside": inside, "pdff": 100 * fat}  # fmt: skip


def echoes_of(truth: dict[str, torch.Tensor], times: list[float], field_t: float) -> torch.Tensor:
    clean = synthesise(*(truth[name] for name in ("water", "fat", "r2star", "b0")), torch.tensor(times), field_t)
    noise = torch.randn(clean.shape, dtype=clean.dtype, generator=torch.Generator().manual_seed(1))
    return clean + math.sqrt(2) * noise


@pytest.mark.parametrize("b0_shifts", [0.4, 1.0, -1.0])
@pytest.mark.parametrize(("field_t", "times"), [(3.0, EVEN), (3.0, ODD), (3.0, THREE), (1.5, [1.55, 3.82, 6.09, 8.36])])
def test_what_made_the_echoes_is_found(field_t, times, b0_shifts):
    """Every pixel within five of its own SDs, and by SDs that are those of its errors (±20 % of 250 pixels)."""
    truth = body(32, field_t, b0_shifts)
    maps = water_fat(echoes_of(truth, times, field_t), times, field_t)
    inside = truth["inside"] & ~maps.unsure
    assert inside.sum() > 0.97 * truth["inside"].sum()
    for name in ("pdff", "r2star", "b0"):
        errors = ((getattr(maps, name) - truth[name]) / getattr(maps, f"sd_{name}"))[inside]
        assert errors.abs().max() < 5
        assert 0.6 < errors.std() < 1.25


def test_water_and_fat_add_up_to_the_first_echo():
    """Amplitudes are those at t = 0, where both have the phase of the object."""
    truth = body(24, 3.0, 0.3)
    maps = water_fat(echoes_of(truth, EVEN, 3.0), EVEN, 3.0)
    together = (maps.water + maps.fat)[truth["inside"]]
    assert (together - (truth["water"] + truth["fat"])[truth["inside"]]).abs().mean() < 0.05 * SNR


def test_noise_alone_is_unsure_and_does_not_shine():
    """Noise that decays fast, drawn back to t = 0, would be the brightest of the image."""
    truth = body(32, 3.0, 0.3)
    maps = water_fat(echoes_of(truth, EVEN, 3.0), EVEN, 3.0)
    air = ~truth["inside"]
    assert maps.unsure[air].float().mean() > 0.95
    assert maps.water.abs()[air].quantile(0.99) < 0.1 * SNR


def test_an_image_of_water_alone_stays_water():
    """Nothing in it tells that it is no fat, but that seven peaks are more than one."""
    truth = body(24, 3.0, 0.2)
    truth["water"], truth["fat"] = truth["water"] + truth["fat"], torch.zeros_like(truth["fat"])
    maps = water_fat(echoes_of(truth, EVEN, 3.0), EVEN, 3.0)
    assert maps.pdff[truth["inside"]].max() < 15


def test_fat_turns_the_way_of_negative_frequencies():
    """The sign that decides which of the two is called water."""
    quarter = 250 / fat_shift_hz(1.5)
    assert complex(fat_turns(torch.tensor([quarter]), 1.5)[0]).imag < -0.8
    assert complex(fat_turns(torch.tensor([0.0]), 1.5)[0]) == pytest.approx(1)


def test_the_way_that_phases_run_is_told_by_the_peaks():
    """Six peaks of fat lie on one side of water; of water alone nothing tells, and noise is no sign."""
    truth = body(32, 3.0, 0.3)
    echoes = echoes_of(truth, EVEN, 3.0)
    assert turning(echoes, EVEN, 3.0) < 0.8
    assert turning(echoes.conj(), EVEN, 3.0) > 1.2
    truth["water"], truth["fat"] = truth["water"] + truth["fat"], 0 * truth["fat"]
    assert turning(echoes_of(truth, EVEN, 3.0), EVEN, 3.0) < 1.02


def test_the_misfit_is_what_no_water_and_fat_explain(rng):
    """Averages of products have the average misfit; a pixel that the model made has none."""
    times = torch.tensor(EVEN)
    made = synthesise(torch.tensor(1.0 + 0j), torch.tensor(0.4j), torch.tensor(50.0), torch.tensor(37.0), times, 3.0)
    left, decay = misfit(products(made[:, None]), times, 3.0, torch.tensor([37.0, 0.0], dtype=torch.float64))
    assert left[0, 0] < 1e-5 < 1e-2 < left[1, 0]
    assert decay[0, 0] == 50


def test_min_sum_is_exact_where_there_are_no_loops(rng):
    """Along a row belief propagation is dynamic programming: the costs of all 3⁴ choices, least for each label."""
    costs, between = torch.rand(1, 4, 3, generator=rng), torch.rand(3, 3, generator=rng)
    between = between + between.T
    choices = list(product(range(3), repeat=4))
    total = torch.stack([
        sum(costs[0, place, label] for place, label in enumerate(choice))
        + sum(between[one, other] for one, other in pairwise(choice))
        for choice in choices
    ])  # fmt: skip
    beliefs = min_sum(costs, between)[0]
    for place in range(4):
        least = torch.stack([total[[choice[place] == label for choice in choices]].min() for label in range(3)])
        assert torch.allclose(beliefs[place] - beliefs[place].min(), least - least.min(), atol=1e-5)


@pytest.mark.parametrize(
    ("times", "field_t", "said"),
    [
        ([2.38, 4.76], 1.5, r"^2 echo times \(2.38, 4.76\), at least 3 needed for water, fat, R2\* and the field$"),
        ([1.2, 1.2, 3.4], 1.5, r"^echo times 1.2, 1.2, 3.4 ms, some of which are equal, expected are different ones$"),
        ([1.2, 2.4, -1.0], 1.5, "^echo times 1.2, 2.4, -1 ms, finite and positive ones expected$"),
        (EVEN, None, "^the field strength is not given, 0.01 to 25 T expected$"),
        (EVEN, 0.0, "^the field strength is 0 T, 0.01 to 25 T expected$"),
        ([4.6, 9.2, 13.8], 1.5, "^echo times 4.6, 9.2, 13.8 ms find fat in the same phase at 1.5 T, expected"),
    ],
)
def test_echoes_that_cannot_tell_are_refused(times, field_t, said):
    """Any map of them would be an invention."""
    with pytest.raises(ValueError, match=said):
        water_fat(torch.ones(len(times), 8, 8, dtype=torch.complex64), times, field_t)


def test_noise_is_told_from_what_maps_have_left(rng):
    """Two thirds of the image were cut to zero, which is no noise of zero."""
    echoes = torch.randn(4, 48, 48, dtype=torch.complex64, generator=rng)  # SD 0.71 each of real and imaginary parts
    echoes[:, :, :32] = 0
    assert noise_sd(echoes) == pytest.approx(0.5**0.5, rel=0.05)
    assert noise_sd(torch.zeros(3, 8, 8, dtype=torch.complex64)) > 0
