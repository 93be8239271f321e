"""Trained networks along trajectories: what they made says so, what they may not make is made otherwise, and marked."""

import functools

import pytest
import torch

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.errors import PipelineError, ScanError
from gadgets.items import ImageArray
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from gadgets.recon.nufft_kband_recon import NufftKBandRecon
from gadgets.scan import Scan
from kband_core.models import load_card, load_model
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from pipelines.simulation.slab import Slab
from tests.tiny_models import LIMITS, save_tiny_model

pytest.importorskip("finufft")
SPOKES = {**LIMITS, "sampling": ["spokes"], "coils": [2, 8], "snr": 5.0}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of models that holds "tiny", an untrained one for spokes, that leaves everything to data consistency."""
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    save_tiny_model(tmp_path, supervision="sectors", limits=SPOKES)
    return tmp_path


@functools.cache
def scanned(trajectory="radial", n_shots=32, n_coils=4):
    protocol = Protocol(
        matrix=48, n_coils=n_coils, n_slices=1, trajectory=trajectory, n_shots=n_shots, noise_scan=False, snr=100.0
    )
    header, lines, _ = simulate_scan(protocol)
    return Scan.from_xml(header), tuple(lines)


def image_of(scan, **properties) -> ImageArray:
    chain = Pipeline([TrajectoryBuffer(device="cpu"), CoilSensitivities(), NufftKBandRecon(model="tiny", **properties)])
    (array,) = run(chain, scan[0], iter(scan[1]), Verdict())
    return array


def test_image_says_which_network_made_it():
    """Name and hash stand in the meta; a network trained on sectors is called k-band."""
    meta = image_of(scanned()).meta[0, 0, 0]
    assert (meta["kband_method"], meta["kband_fallback"]) == ("k-band tiny", "no")
    assert (meta["kband_model"], meta["kband_model_sha256"]) == ("tiny", load_card("tiny").sha256[:12])


def test_a_network_hears_of_a_part_of_the_noise(monkeypatch):
    """Half of what it hears otherwise; the image says so."""
    heard, network = [], type(load_model("tiny"))
    hear = network.forward
    monkeypatch.setattr(network, "forward", lambda self, *given: heard.append(given[2]) or hear(self, *given))
    monkeypatch.setattr("gadgets.recon.denoising._hears", lambda module: True)  # untrained, it would not
    assert "kband_denoising" not in image_of(scanned()).meta[0, 0, 0]
    meta = image_of(scanned(), denoising=0.5).meta[0, 0, 0]
    torch.testing.assert_close(heard[-1], heard[0] / 2)
    assert (meta["kband_denoising"], meta["ImageComments"]) == ("0.5", "k-band tiny; denoising 0.5")


def test_a_network_that_knows_shots_makes_spirals(folder):
    """As many interleaves as Nyquist asks for are R = 1, by their own count; as spokes they would be R = 3."""
    save_tiny_model(folder, supervision="sectors", limits={**SPOKES, "sampling": ["shots"], "acceleration": [0.9, 1.1]})
    meta = image_of(scanned(trajectory="spiral", n_shots=24)).meta[0, 0, 0]
    assert (meta["kband_method"], meta["kband_fallback"]) == ("k-band tiny", "no")


def test_stacks_of_stars_are_made_plane_by_plane():
    """Each partition is a problem like those that the network has seen."""
    protocol = Protocol(
        matrix=48, n_coils=4, n_slices=1, trajectory="stack", n_shots=32, noise_scan=False, snr=100.0,
        slab=Slab(n_partitions=3),
    )  # fmt: skip
    header, lines, _ = simulate_scan(protocol)
    array = image_of((Scan.from_xml(header), lines))
    assert array.meta[0, 0, 0]["kband_fallback"] == "no"
    assert array.data.shape[-3:] == (3, 48, 48)


@pytest.mark.parametrize(
    ("limits", "scan", "reason"),
    [
        ({"sampling": ["lines"]}, {}, "undersampled by spokes, tiny has seen lines"),
        ({}, {"trajectory": "spiral"}, "undersampled by shots, tiny has seen spokes"),
        ({"acceleration": [4, 8]}, {}, "acceleration 2.38, tiny has seen 4 to 8"),
        ({"matrix": [64, 96]}, {}, "matrix 48 × 48, tiny has seen 64 to 96"),
        ({"coils": [5, 8]}, {}, "coils: 4, tiny has seen 5 to 8"),
    ],
)
def test_a_scan_outside_the_card_is_left_to_sense(folder, limits, scan, reason):
    """A network trained on lines of a grid, or on other spokes, has never seen such streaks."""
    save_tiny_model(folder, limits={**SPOKES, **limits})
    meta = image_of(scanned(**scan)).meta[0, 0, 0]
    assert meta["kband_method"] == "NUFFT-SENSE"
    assert meta["ImageComments"].startswith(f"FALLBACK NUFFT-SENSE: NufftKBandRecon: {reason}")
    assert "kband_model" not in meta


def test_noise_beyond_the_card_is_left_to_sense(folder):
    """What looks like anatomy in such noise may be invented."""
    save_tiny_model(folder, limits={**SPOKES, "snr": 1e5})
    meta = image_of(scanned()).meta[0, 0, 0]
    assert meta["kband_method"] == "NUFFT-SENSE"
    assert ", tiny has seen 100000 and more" in meta["ImageComments"]


def test_a_site_can_refuse_instead(folder):
    """One sentence, and no image."""
    save_tiny_model(folder, limits={**SPOKES, "sampling": ["lines"]})
    with pytest.raises(ScanError, match=r"^NufftKBandRecon: undersampled by spokes, tiny has seen lines$"):
        image_of(scanned(), outside_card="refuse")


def test_where_sense_fails_too_it_is_gridded_and_marked():
    """Time is over for both."""
    meta = image_of(scanned(), deadline=1e-9).meta[0, 0, 0]
    assert meta["kband_method"] == "gridding"
    assert meta["ImageComments"].startswith("FALLBACK gridding: NufftKBandRecon: ")


def test_a_model_that_is_not_there_is_said_before_the_scan():
    """With the names of those that are."""
    gadget = NufftKBandRecon(model="none")
    with pytest.raises(PipelineError, match=r"^NufftKBandRecon.model: no model 'none'; found "):
        gadget.open(scanned()[0])
