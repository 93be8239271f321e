"""PKT in the chain: its image says what made it and by which measure; CG-SENSE where that is the better one, marked."""

import functools
import re

import pytest
import torch

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.errors import PipelineError
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from gadgets.recon.pkt_recon import PktRecon
from gadgets.scan import Scan
from kband_core.models import save_model
from kband_core.networks import build
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.tiny_models import FIELDS, LIMITS, save_tiny_model

pytest.importorskip("finufft")
CONFIG = {"channels": 4, "heads": 2, "hidden": 4, "layers": 1}
SPOKES = {**LIMITS, "sampling": ["spokes"], "coils": [2, 8], "snr": 5.0}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    return tmp_path


def save_pkt(folder, *, invents=False):
    """A network that predicts the spokes of CG-SENSE, as every untrained one does, or ones that it invents."""
    module = build("pkt", **CONFIG)
    if invents:
        torch.nn.init.constant_(module.answer.bias, 10.0)
    save_model(folder, {**FIELDS, "name": "tiny", "network": {"name": "pkt", "config": CONFIG}, "limits": SPOKES,
                        "supervision": "predicted_spokes"}, module)  # fmt: skip


@functools.cache
def scanned(trajectory="radial"):
    protocol = Protocol(
        matrix=48, n_coils=4, n_slices=1, trajectory=trajectory, n_shots=24, noise_scan=False, snr=100.0
    )
    header, lines, _ = simulate_scan(protocol)
    return Scan.from_xml(header), tuple(lines)


def meta_of(scan):
    chain = Pipeline([TrajectoryBuffer(device="cpu"), CoilSensitivities(), PktRecon(model="tiny")])
    (array,) = run(chain, scan[0], iter(scan[1]), Verdict())
    return array.meta[0, 0, 0]


def test_image_says_what_made_it_and_why(folder):
    """Name, and what both ways leave unexplained of spokes that neither was shown: the smaller one made the image."""
    save_pkt(folder)
    meta = meta_of(scanned())
    assert meta["kband_method"].startswith("PKT tiny, supervised by spokes")
    assert meta["kband_fallback"] == "no"
    ours, theirs = map(float, re.findall(r"\d\.\d{3}", meta["kband_held_out_spokes"]))
    assert ours < theirs


def test_where_cg_sense_explains_held_out_spokes_better_it_makes_the_image(folder):
    """Invented spokes must not pass, whoever invents them; comment and meta say why."""
    save_pkt(folder, invents=True)
    meta = meta_of(scanned())
    assert meta["kband_method"] == "NUFFT-SENSE"
    assert meta["ImageComments"].startswith("FALLBACK NUFFT-SENSE: PktRecon: tiny leaves ")
    assert "kband_model" not in meta


def test_a_spiral_is_refused_before_the_scan(folder):
    """It has no projections."""
    save_pkt(folder)
    gadget = PktRecon(model="tiny")
    with pytest.raises(PipelineError, match=r"^PktRecon: encoding 0 has the trajectory spiral; spokes .* expected$"):
        gadget.open(scanned("spiral")[0])


def test_another_network_is_refused_before_the_scan(folder):
    """One that makes images predicts no spokes."""
    save_tiny_model(folder)
    with pytest.raises(PipelineError, match=r"^PktRecon\.model: tiny has the network modl, pkt expected$"):
        PktRecon(model="tiny").look_up()
