"""A network that sees a scan in several guises: the mean of its images has less error, and says of how many it is."""

import pytest
import torch

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.errors import PipelineError
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon import network
from gadgets.recon.kband_recon import KBandRecon
from kband_core import reconstruct as core
from kband_core.models import load_card
from tests.gadgets.heads import reconstruct, root_sum_of_squares
from tests.laws import nmse


def image_of(head_scan, lines, acceleration=2, **properties):
    chain = AcquisitionBuffer(), CoilSensitivities(), KBandRecon(**properties)
    (array,) = reconstruct(head_scan(acceleration=acceleration), lines, *chain)
    return array.data[0, 0, 0, 0, 0].abs(), array.meta[0, 0, 0]


@pytest.fixture
def runs(monkeypatch):
    """Shapes of k-space that a network was given."""
    made, shapes = core.Given.image_of, []

    def image_of(given, model):
        shapes.append(given.kspace.shape)
        return made(given, model)

    monkeypatch.setattr(core.Given, "image_of", image_of)
    network._run_once.cache_clear()
    return shapes


def test_more_guises_less_error(head_scan, lines_of, noise, head):
    """Of a head with noise, R=4; the network that ships, told what noise there is."""
    lines = list(lines_of(4, kspace=head + 0.03 * noise(*head.shape)))
    truth = root_sum_of_squares(head)
    errors = [nmse(image_of(head_scan, lines, 4, self_ensemble=n)[0], truth) for n in (1, 2, 4)]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 0.96 * errors[0]


def test_an_image_says_of_how_many_it_is_the_mean(head_scan, lines_of, runs):
    _, meta = image_of(head_scan, lines_of(2), self_ensemble=4)
    assert meta["kband_self_ensemble"] == "4"
    assert meta["kband_method"] == load_card("simulated_small").label
    assert len(runs) == 1 + 4  # the first tries the network out
    _, meta = image_of(head_scan, lines_of(2))
    assert "kband_self_ensemble" not in meta
    assert len(runs) == 1 + 4 + 1


def test_fallback_says_nothing_of_guises(head_scan, lines_of):
    image, meta = image_of(head_scan, lines_of(2, acs=()), self_ensemble=4)
    assert meta["kband_fallback"] != "no"
    assert "kband_self_ensemble" not in meta
    assert torch.isfinite(image).all()


def test_a_bound_is_of_one_guise():
    chain = KBandRecon(self_ensemble=2, uncertainty=True)
    with pytest.raises(PipelineError, match=r"^KBandRecon\.self_ensemble: uncertainty holds for one guise"):
        chain.look_up()
    KBandRecon(self_ensemble=2).look_up()


@pytest.mark.parametrize(("text", "problem"), [("0", "greater than or equal to 1"), ("5", "less than or equal to 4")])
def test_there_are_four_guises(text, problem):
    with pytest.raises(PipelineError, match=rf"^KBandRecon\.self_ensemble: .*{problem}, got '{text}'$"):
        KBandRecon.from_properties({"self_ensemble": text})
