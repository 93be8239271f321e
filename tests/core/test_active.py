"""Which line next: what is told of lines, by whom, and in which order lines come where nobody tells."""

import pytest
import torch

from kband_core.active.line_chooser import LineChooser
from kband_core.active.orders import central, centre_out, stepped_out
from kband_core.active.progress import Progress, line_errors
from kband_core.active.quick_image import lines_of, quick_image
from kband_core.fourier import to_image
from kband_core.models import load_model
from kband_core.training.lines.varied_scans import varied_kspace


@pytest.fixture(scope="module")
def scans():
    """Simulated scans `(scan, coil, ky, kx)` that nobody was trained on."""
    rng = torch.Generator().manual_seed(123456)
    return torch.stack([varied_kspace(48, rng) for _ in range(6)])


@pytest.fixture(scope="module")
def evaluator():
    return load_model("simulated_lines")


def area(kspace, scores) -> float:
    """Mean NRMSE from 8 lines to half of all, by what chooses them."""
    now, each, errors = Progress.begun(kspace, central(48, 8)), torch.arange(len(kspace)), []
    true = now.true_lines()
    for _ in range(16):
        predicted = now.predicted()
        errors.append(line_errors(predicted, true).sum(-1).sqrt().mean())
        wanted = scores(now, predicted).masked_fill(now.acquired, -torch.inf)
        now.acquired[each, wanted.argmax(-1)] = True
    return float(torch.stack(errors).mean())


@pytest.mark.parametrize("n_lines", [32, 33])
def test_orders_name_every_row_once(n_lines):
    """A row twice would be two lines of the scan, one left out a hole; the first 8 rows are those that calibrate."""
    outwards, stepped = centre_out(n_lines).tolist(), stepped_out(n_lines, 8).tolist()
    assert sorted(outwards) == sorted(stepped) == list(range(n_lines))
    assert sorted(stepped[:8]) == list(range(n_lines)[central(n_lines, 8)])
    assert outwards[:3] == [n_lines // 2, n_lines // 2 + 1, n_lines // 2 - 1]


def test_a_quick_image_of_all_lines_is_the_combined_one():
    """Of all lines (AᴴA + λ) is 1 + λ where maps sum to 1: nothing is lost but the factor."""
    rng = torch.Generator().manual_seed(0)
    csm = torch.randn(1, 3, 8, 6, dtype=torch.complex64, generator=rng)
    csm = csm / torch.linalg.vector_norm(csm, dim=1, keepdim=True)
    image = torch.randn(1, 8, 6, dtype=torch.complex64, generator=rng)
    made = quick_image(lines_of(image, csm), torch.ones(1, 8, dtype=torch.bool), csm)
    torch.testing.assert_close(1.02 * made, image, rtol=1e-3, atol=1e-3)


def test_errors_of_lines_sum_to_that_of_the_image():
    """Parseval: what is chosen line by line is what the image lacks."""
    rng = torch.Generator().manual_seed(0)
    csm = torch.randn(1, 3, 8, 6, dtype=torch.complex64, generator=rng)
    csm = csm / torch.linalg.vector_norm(csm, dim=1, keepdim=True)
    one, other = (torch.randn(1, 8, 6, dtype=torch.complex64, generator=rng) for _ in range(2))
    nmse = (one - other).abs().square().sum() / other.abs().square().sum()
    torch.testing.assert_close(line_errors(lines_of(one, csm), lines_of(other, csm)).sum(), nmse)


def test_lines_that_come_one_by_one_are_chosen_as_offline(scans, evaluator):
    """At the scanner lines come one by one and in any order: the choice is that of the whole simulation."""
    kspace = scans[0]
    now = Progress.begun(kspace[None], central(48, 8))
    chooser = LineChooser(evaluator, 48, 8)
    for row in (27, 20, 21, 22, 23, 24, 25, 26):
        chooser.add(row, kspace[:, row])
    for _ in range(5):
        told = evaluator(now.features(now.predicted(), torch.zeros_like(now.acquired)))[0]
        row = int(told.masked_fill(now.acquired[0], -torch.inf).argmax())
        assert chooser.decide().rows[0] == row
        chooser.add(row, kspace[:, row])
        now.acquired[0, row] = True


def test_nothing_is_chosen_before_the_centre_is_in(scans, evaluator):
    """Without coil maps there is no image to be wrong."""
    chooser = LineChooser(evaluator, 48, 8)
    chooser.add(20, scans[0, :, 20])
    with pytest.raises(ValueError, match=r"^central lines are missing: 7 of 8$"):
        chooser.decide()


def test_lines_to_come_are_not_chosen_again(scans, evaluator):
    """Decided two lines ahead, the same line would otherwise be asked for twice."""
    chooser = LineChooser(evaluator, 48, 8)
    for row in range(20, 28):
        chooser.add(row, scans[0, :, row])
    first = chooser.decide().rows[0]
    assert first not in chooser.decide(coming=[first], most=40).rows


def test_the_shipped_evaluator_does_better_than_fixed_orders(scans, evaluator):
    """On scans that differ; by a tenth of centre-out, and by more than nothing of every third line."""
    rank = {}
    for name, order in (("centre out", centre_out(48)), ("stepped out", stepped_out(48, 8))):
        rank[name] = torch.zeros(48).index_put((order,), torch.arange(48, 0, -1.0))
    areas = {name: area(scans, lambda now, _, fixed=fixed: fixed.expand(now.acquired.shape).clone())
             for name, fixed in rank.items()}  # fmt: skip
    with torch.inference_mode():
        told = area(scans, lambda now, predicted: evaluator(now.features(predicted, torch.zeros_like(now.acquired))))
    assert told < 0.9 * areas["centre out"]
    assert told < areas["stepped out"]


def test_the_limit_told_is_above_most_errors(scans, evaluator):
    """9 of 10 on scans like those of training; of these six images at three stages, at most 5 of 18 lie above."""
    above = 0
    for kspace in scans:
        now, chooser = Progress.begun(kspace[None], central(48, 8)), LineChooser(evaluator, 48, 8)
        true = now.true_lines()
        for number, row in enumerate(stepped_out(48, 8)[:24].tolist(), 1):
            chooser.add(row, kspace[:, row])
            now.acquired[0, row] = True
            if number in (8, 16, 24):
                above += float(line_errors(now.predicted(), true).sum()) > chooser.decide().nmse_limit
    assert above <= 5


def test_simulated_scans_have_unit_energy_and_differ_in_where_it_lies(scans):
    """Scans that are alike have one best order, and nothing to choose: here the share in the centre differs twofold."""
    torch.testing.assert_close(torch.linalg.vector_norm(scans, dim=(1, 2, 3)), torch.ones(6))
    outer = to_image(scans, (-1,)).abs().square().sum((1, 3))[:, [*range(18), *range(30, 48)]].sum(-1)
    assert outer.max() > 2 * outer.min()
