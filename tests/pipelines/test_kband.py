"""The k-band pipelines with a model that is at hand, and what is said without one."""

import re

import ismrmrd
import pytest
import torch

from gadgets.errors import PipelineError
from gadgets.scan import Scan
from kband_core import model_folders, models
from kband_core.models import load_card
from pipelines.chain.lint import Finding, lint
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.installation.checkup import check_models
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.command import kband
from tests.laws import nmse
from tests.tiny_models import save_tiny_model

VARIANTS = ("kband", "kband_buffered", "kband_warm")
MODEL = '<property name="model" value="{}"/>'
INTAKE = "<gadget><classname>BufferIntake</classname></gadget>"
BARE = f"<configuration>{INTAKE}<gadget><classname>KBandRecon</classname>{MODEL}</gadget></configuration>"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of models where an untrained network stands in for the shipped one; nothing is shipped."""
    folder = tmp_path / "models"
    monkeypatch.setattr(model_folders, "SHIPPED", tmp_path)
    monkeypatch.setattr(models, "_loaded", {})
    monkeypatch.setenv("KBAND_MODELS", str(folder))
    save_tiny_model(folder, "simulated_small")
    return folder


def images_of(name: str, header: str, lines) -> list[ismrmrd.Image]:
    return list(run(Pipeline.from_xml(installed_xml(name)), Scan.from_xml(header), lines, Verdict()))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_way_in_ends_in_labelled_images(scan, name):
    """The network made them, near the truth (NMSE; SNR 200, R=1.5), and each says by its meta which network."""
    header, lines, references = scan
    images = images_of(name, header, lines)
    assert [image.slice for image in images] == [0, 1]
    for image, reference in zip(images, references, strict=True):
        assert image.meta["kband_method"] == "k-band simulated_small"
        assert image.meta["kband_model_sha256"] == load_card("simulated_small").sha256[:12]
        assert (image.meta["kband_fallback"], image.image_series_index) == ("no", 1)
        pixels, truth = (torch.from_numpy(i.data[0, 0].astype(float)) for i in (image, reference))
        scale = (pixels * truth).sum() / pixels.square().sum()  # AutoScale's
        assert nmse(scale * pixels, truth) < 0.03


def test_scan_outside_the_card_is_told_by_the_verdict(folder, scan):
    """`kband replay` exits with 1, the series is another, and the comment has the reason."""
    save_tiny_model(folder, "simulated_small", limits={"acceleration": [2, 6], "matrix": [32, 256], "acs_lines": 12,
                                                       "sampling": ["lines"]})  # fmt: skip
    verdict = Verdict()
    images = list(run(Pipeline.from_xml(installed_xml("kband")), Scan.from_xml(scan[0]), scan[1], verdict))
    assert verdict.n_fallback == len(images) == 2
    assert {image.image_series_index for image in images} == {101}
    reason = "FALLBACK SENSE: KBandRecon: acceleration 1.52, simulated_small has seen 2 to 6"
    assert {image.meta["ImageComments"] for image in images} == {reason}


def test_partial_fourier_without_acceleration_is_only_combined():
    """All lines that the protocol has are there, though not all rows: no line was left out for a network to fill."""
    protocol = Protocol(matrix=64, n_coils=4, n_slices=1, acceleration=1, partial_fourier=0.75)
    (image,) = images_of("kband", *simulate_scan(protocol)[:2])
    assert (image.meta["kband_method"], image.meta["kband_fallback"]) == ("coil combination", "no")


def test_the_linter_misses_a_model(folder):
    """One sentence with those there are, and no scan is needed to hear it."""
    sentence = "KBandRecon.model: no model 'knee'; found simulated_small"
    assert lint(BARE.format("knee")) == [Finding("error", sentence)]
    assert lint(BARE.format("simulated_small")) == []
    assert [found.severity for found in lint(BARE.format("../models/simulated_small"))] == ["error"]


def test_check_says_so_and_fails(folder):
    """For an installed pipeline by its name; the default of the property is looked up as well."""
    assert kband("check", *VARIANTS).output == "3 pipelines, 0 errors, 0 warnings\n"
    (folder / "simulated_small.yaml").unlink()
    result = kband("check", "kband")
    sentence = "KBandRecon.model: no model 'simulated_small'; found none: KBAND_MODELS names folders of models"
    assert result.output.splitlines()[0] == f"kband: error: {sentence}"
    assert result.exit_code == 1
    default = BARE.replace(MODEL, "")
    assert [found.sentence for found in lint(default)] == [sentence]
    with pytest.raises(PipelineError, match=f"^{re.escape(sentence)}$"):
        Pipeline.from_xml(installed_xml("kband")).open(Scan.from_xml(simulate_scan(Protocol(matrix=32))[0]))


def test_the_doctor_knows_every_model(folder, monkeypatch):
    """Name, hash, size, parameters, and what it was trained on; a damaged one is a warning that says what to do."""
    save_tiny_model(folder, "other", seed=1, trained_on="dead leaves")
    card = load_card("other")
    first, second = check_models()
    assert (first.level, second.level) == ("ok", "ok")
    assert first.sentence.startswith(f"model 'other' in {folder}: sha256 {card.sha256[:12]} as in its card, 0.0 MB, ")
    assert first.sentence.endswith(f" {card.parameters:,} parameters, trained on dead leaves")
    (folder / "simulated_small.safetensors").write_bytes(b"?")
    monkeypatch.setattr(models, "_loaded", {})
    damaged = list(check_models())[1]
    assert damaged.level == "warning"
    assert damaged.sentence.startswith("model 'simulated_small': simulated_small.safetensors is damaged or another's; ")
    assert damaged.sentence.endswith(f"; bring it to {folder} again")


def test_the_doctor_misses_models_and_folders(folder, monkeypatch):
    """A folder that is misspelt in KBAND_MODELS would be searched in vain for ever."""
    monkeypatch.setenv("KBAND_MODELS", f"{folder}s")
    assert [(check.level, check.sentence) for check in check_models()] == [
        ("warning", f"KBAND_MODELS names {folder}s, which is no folder; make it, or leave it out"),
        ("warning", "no trained models; name folders of models in KBAND_MODELS"),
    ]
