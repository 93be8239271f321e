"""Trained networks in the chain: what they made says so, and what they did not make says that."""

import pytest
import torch

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.errors import PipelineError, ScanError
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon import network
from gadgets.recon.kband_recon import KBandRecon
from gadgets.recon.sense_recon import SenseRecon
from kband_core import reconstruct as core
from kband_core.models import load_card, save_model
from kband_core.networks import build
from tests.gadgets.heads import N, reconstruct, root_sum_of_squares
from tests.laws import nmse
from tests.tiny_models import CONFIG, FIELDS, LIMITS, save_tiny_model


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of models that holds "tiny", an untrained one that leaves everything to data consistency."""
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    save_tiny_model(tmp_path)
    return tmp_path


def images_of(head_scan, lines, acceleration=2, recon=None, n_sets=1, **properties):
    recon = recon or KBandRecon(model="tiny", **properties)
    chain = AcquisitionBuffer(), CoilSensitivities(n_sets=n_sets), recon
    return reconstruct(head_scan(acceleration=acceleration), lines, *chain)


def save_overflowing_model(folder):
    module = build("modl", **CONFIG)
    module.denoisers[0].tail.bias.data.fill_(3e38)
    save_model(folder, {**FIELDS, "name": "tiny"}, module)


@pytest.mark.parametrize("n_sets", [1, 2])
def test_image_says_which_network_made_it(head_scan, lines_of, head, n_sets):
    """R=2 without noise: name and hash stand in the meta; the error is far below the zero-filled image's."""
    (array,) = images_of(head_scan, lines_of(2), n_sets=n_sets)
    meta = array.meta[0, 0, 0]
    assert meta["kband_method"] == "k-band tiny"
    assert (meta["kband_model"], meta["kband_model_sha256"]) == ("tiny", load_card("tiny").sha256[:12])
    assert (meta["kband_fallback"], meta["kband_complete"], meta["ImageComments"]) == ("no", "yes", "k-band tiny")
    assert array.headers[0, 0, 0].image_series_index == 1
    reference = root_sum_of_squares(head)
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), reference) < 0.02
    assert nmse(root_sum_of_squares(head * (torch.arange(N) % 2 == 0).numpy()[:, None]), reference) > 0.05


def test_an_image_that_misses_its_data_is_made_otherwise(folder, head_scan, lines_of, noise, head):
    """A network that makes noise of everything: completed, its image would be GRAPPA's under another name."""
    module = build("modl", **CONFIG)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(0.1)
    save_model(folder, {**FIELDS, "name": "tiny"}, module)
    lines = list(lines_of(2, kspace=head + 0.003 * noise(*head.shape)))
    (array,) = images_of(head_scan, lines)
    meta = array.meta[0, 0, 0]
    assert meta["kband_method"] == "SENSE"
    assert meta["kband_fallback"] == "KBandRecon: k-band tiny misses all of the measured energy"
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), root_sum_of_squares(head)) < 0.01


@pytest.mark.parametrize("missing", [8, 9])
def test_lines_off_the_grid_leave_the_image_to_the_network(head_scan, lines_of, missing):
    """Line 8 of every second one: GRAPPA would need it. Line 9 is not there anyway."""
    lines = [line for line in lines_of(2) if line.idx.kspace_encode_step_1 != missing]
    (array,) = images_of(head_scan, lines)
    assert array.meta[0, 0, 0]["kband_method"] == "k-band tiny"
    assert array.meta[0, 0, 0]["kband_fallback"] == "no"


def test_same_scan_same_image(head_scan, lines_of):
    """A scan that is replayed shows what the patient was shown."""
    first, second = (images_of(head_scan, lines_of(3), 3)[0].data for _ in range(2))
    assert torch.equal(first, second)


def test_scan_outside_the_card_becomes_a_marked_sense_image(folder, head_scan, lines_of):
    """Pixels are SENSE's, the series is another, the comment has the numbers, and no network signs it."""
    save_tiny_model(folder, limits={**LIMITS, "acceleration": [3, 6], "acs_lines": 24})
    (array,) = images_of(head_scan, lines_of(2))
    (sense,) = images_of(head_scan, lines_of(2), recon=SenseRecon())
    assert torch.equal(array.data, sense.data)
    meta = array.meta[0, 0, 0]
    assert meta["ImageComments"] == ("FALLBACK SENSE: KBandRecon: acceleration 1.52, tiny has seen 3 to 6; "
                                     "calibration lines in the image: 21, tiny has seen 24 and more")  # fmt: skip
    assert meta["kband_method"] == "SENSE"
    assert "kband_model" not in meta
    assert array.headers[0, 0, 0].image_series_index == 101


def test_the_fallback_has_properties_of_its_own(folder, head_scan, lines_of):
    """Two iterations of SENSE are two, whoever asks for them."""
    save_tiny_model(folder, limits={**LIMITS, "acceleration": [3, 6]})
    (array,) = images_of(head_scan, lines_of(2), sense_n_iterations=2, sense_regularisation=0.1)
    (sense,) = images_of(head_scan, lines_of(2), recon=SenseRecon(n_iterations=2, regularisation=0.1))
    assert array.meta[0, 0, 0]["kband_method"] == "SENSE"
    assert torch.equal(array.data, sense.data)


def test_scan_outside_the_card_is_refused_if_told_to(folder, head_scan, lines_of):
    """A matrix before the first line, for it stands in the header; true acceleration when the lines are in."""
    save_tiny_model(folder, limits={**LIMITS, "matrix": [96, 256]})
    with pytest.raises(PipelineError, match=r"^KBandRecon: encoding 0: matrix 64 × 64, tiny has seen 96 to 256$"):
        images_of(head_scan, iter([]), outside_card="refuse")
    save_tiny_model(folder, limits={**LIMITS, "acceleration": [3, 6]})
    with pytest.raises(ScanError, match=r"^KBandRecon: acceleration 1\.52, tiny has seen 3 to 6$"):
        images_of(head_scan, lines_of(2), outside_card="refuse")
    assert len(images_of(head_scan, lines_of(1), 1, outside_card="refuse")) == 1


def test_fully_sampled_scan_is_only_combined(head_scan, lines_of, head):
    """No line was left out: no network made the image, and it does not say so."""
    (array,) = images_of(head_scan, lines_of(1), 1)
    meta = array.meta[0, 0, 0]
    assert (meta["kband_method"], meta["kband_fallback"]) == ("coil combination", "no")
    assert "kband_model" not in meta
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), root_sum_of_squares(head)) < 0.002


def test_irregular_lines_are_reconstructed(head_scan, lines_of, head):
    """What the network is for: variable density, which no GRAPPA kernel fits."""
    chosen = {0, 7, 13, 18, 20, *range(22, 42), 43, 47, 53, 58, 63}
    lines = (line for line in lines_of(1) if line.idx.kspace_encode_step_1 in chosen)
    (array,) = images_of(head_scan, lines, 3)
    assert array.meta[0, 0, 0]["kband_method"] == "k-band tiny"
    assert array.meta[0, 0, 0]["kband_fallback"] == "no"
    assert nmse(array.data[0, 0, 0, 0, 0].abs(), root_sum_of_squares(head)) < 0.05


def test_calibration_scanned_apart_is_not_in_the_image(head_scan, lines_of, make_acquisition, head):
    """The network was trained on images whose centre is whole; maps from elsewhere do not make it so."""
    apart = [make_acquisition(head[:, row], flags=[20], kspace_encode_step_1=row) for row in range(22, 42)]
    scan = head_scan(acceleration=2, calibration_mode="separate")
    chain = AcquisitionBuffer(), CoilSensitivities(), KBandRecon(model="tiny")
    (array,) = reconstruct(scan, [*apart, *lines_of(2, acs=())], *chain)
    reason = "FALLBACK SENSE: KBandRecon: calibration lines in the image: 1, tiny has seen 12 and more"
    assert array.meta[0, 0, 0]["ImageComments"] == reason


def test_network_that_fails_becomes_a_marked_sense_image(folder, head_scan, lines_of):
    """Finite weights may still overflow; nobody is shown NaN, and nobody takes SENSE for the network."""
    save_overflowing_model(folder)
    (array,) = images_of(head_scan, lines_of(2))
    meta = array.meta[0, 0, 0]
    assert meta["ImageComments"] == "FALLBACK SENSE: KBandRecon: the image is not finite"
    assert array.headers[0, 0, 0].image_series_index == 101
    with pytest.raises(ScanError, match=r"^KBandRecon: the image is not finite$"):
        images_of(head_scan, lines_of(2), on_failure="raise")


def test_without_maps_the_image_is_zero_filled_and_says_why(head_scan, lines_of):
    """Neither the network nor SENSE has anything to go by."""
    (array,) = images_of(head_scan, lines_of(2, acs=()))
    assert array.meta[0, 0, 0]["kband_method"] == "zero-filled"
    assert "calibration line " in array.meta[0, 0, 0]["kband_fallback"]


@pytest.mark.parametrize("name", ["large", "../../x", "/etc/passwd", ""])
def test_model_that_is_not_there_is_refused_before_the_scan(minimal_scan, name):
    """Nothing is scanned in vain; a path is no name."""
    with pytest.raises(PipelineError) as refused:
        KBandRecon(model=name).open(minimal_scan())
    assert str(refused.value).startswith(f"KBandRecon.model: no model '{name}'; found tiny")


def test_model_that_is_damaged_is_refused_before_the_scan(folder, minimal_scan, monkeypatch):
    """The sentence is the registry's."""
    monkeypatch.setattr("kband_core.models._loaded", {})
    (folder / "tiny.safetensors").write_bytes(b"")
    with pytest.raises(PipelineError, match=r"^KBandRecon\.model: model 'tiny': tiny\.safetensors is damaged"):
        KBandRecon(model="tiny").open(minimal_scan())


def test_model_that_is_replaced_during_a_scan_does_not_change_it(folder, head_scan, lines_of):
    """All images of a scan are of one model, the one that their meta names."""
    (before,) = images_of(head_scan, lines_of(2))

    def lines():
        for number, line in enumerate(lines_of(2)):
            if number == 5:
                save_overflowing_model(folder)
            yield line

    (during,) = images_of(head_scan, lines())
    assert torch.equal(before.data, during.data)
    assert before.meta[0, 0, 0]["kband_model_sha256"] == during.meta[0, 0, 0]["kband_model_sha256"]


@pytest.fixture
def runs(monkeypatch):
    """Shapes of k-space on which the network ran."""
    runs, shapes = core.network_sets, []
    monkeypatch.setattr(core, "network_sets", lambda k, *rest: shapes.append(tuple(k.shape)) or runs(k, *rest))
    network._run_once.cache_clear()
    return shapes


def test_network_is_tried_out_before_the_last_line(head_scan, lines_of, runs):
    """The first run of a process takes longer: it is made at the calibration, small, once for all slices and scans."""
    def lines():
        return (line for number in range(2) for line in lines_of(2, slice=number))

    images_of(head_scan, lines())
    assert runs == [(1, 6, 32, 32), (1, 6, N, N), (1, 6, N, N)]
    images_of(head_scan, lines())
    assert runs[3:] == [(1, 6, N, N)] * 2
    images_of(head_scan, lines_of(1), 1)
    assert len(runs) == 5


def test_network_that_fails_on_noise_is_said_and_tried_on_the_image(head_scan, lines_of, monkeypatch, caplog):
    """Trying out must not cost a scan its images."""
    def fails(*_):
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(core, "network_sets", fails)
    network._run_once.cache_clear()
    (array,) = images_of(head_scan, lines_of(2))
    assert caplog.messages[0] == "KBandRecon: the network fails on noise: no kernel image"
    assert array.meta[0, 0, 0]["ImageComments"] == "FALLBACK SENSE: KBandRecon: no kernel image"
