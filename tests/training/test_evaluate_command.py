"""`kband evaluate`: lines are left out as a scanner leaves them out, and the figures are those of the images."""

import copy
import csv
import os

import numpy as np
import pytest
import torch

from gadgets import flags
from kband_core.metrics import authors_nmse, authors_psnr, authors_ssim
from kband_core.model_folders import available_models
from kband_core.training.undersampling import Undersampling
from pipelines.evaluation.evaluation import figures
from pipelines.evaluation.undersampled_scan import undersample
from pipelines.files.mrd_file import write_raw
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.command import kband
from tests.tiny_models import LIMITS, save_tiny_model

PROTOCOL = {"matrix": 64, "n_coils": 4, "n_slices": 2, "acs_lines": 20, "snr": 200.0}


@pytest.fixture(scope="module")
def full():
    """Header and lines of the simulated scan, all lines."""
    return simulate_scan(Protocol(**PROTOCOL, acceleration=1))[:2]


@pytest.fixture
def raw(tmp_path, full):
    write_raw(tmp_path / "full.h5", *full)
    return tmp_path / "full.h5"


@pytest.fixture
def model(tmp_path):
    """The card of an untrained network."""
    save_tiny_model(tmp_path / "models", limits={**LIMITS, "acceleration": [1, 6]})
    return tmp_path / "models" / "tiny.yaml"


def rows_and_flags(lines):
    return [
        (line.idx.slice, line.idx.kspace_encode_step_1, flags.is_calibration(line), flags.is_calibration_only(line))
        for line in lines
        if not flags.is_noise(line)
    ]


def test_lines_are_left_out_as_by_a_scanner(full):
    """Equispaced lines of a full scan: the rows and flags that the simulated scanner gives at R=2 and 20 ACS lines."""
    scanner = Protocol(**PROTOCOL, acceleration=2)
    equispaced = Undersampling(line_acceleration=2, acs_lines=20, sampling="equispaced")
    thinned = (undersample(full[0], equispaced, rng=torch.Generator().manual_seed(seed)) for seed in range(20))
    same_grid = next(scan for scan in thinned if np.flatnonzero(scan.imaging[0])[0] == scanner.image_rows[0])
    left = rows_and_flags(same_grid.lines(simulate_scan(Protocol(**PROTOCOL, acceleration=1))[1]))
    assert sorted(left) == sorted(rows_and_flags(simulate_scan(scanner)[1]))
    assert same_grid.scan.encodings[0].acceleration == (2, 1)
    assert same_grid.scan.encodings[0].calibration_mode == "embedded"


def test_every_method_is_judged(tmp_path, raw, model):
    """Both slices, all peers: a table, a CSV file, a picture; SENSE beats writing zeros."""
    told = kband("evaluate", model, raw, "--acceleration", 2, "--acs", 16, "--sampling", "equispaced",
                 "-o", tmp_path / "table.csv", "--picture", tmp_path / "errors.png")  # fmt: skip
    assert told.exit_code == 0, told.output
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["slice"], row["method"]) for row in rows] == [
        (number, method) for number in "01" for method in ("zero-filled", "GRAPPA", "SENSE", "tiny")
    ]
    zero_filled, _, sense, _ = (float(row["nmse"]) for row in rows[:4])
    assert sense < 0.2 * zero_filled
    assert (tmp_path / "errors.png").stat().st_size > 10_000


def test_a_network_is_told_properties_and_its_rows_say_so(tmp_path, raw):
    """Four guises have less error than one; the peers are what they were."""
    tables = {}
    for n_guises in (1, 4):
        told = kband("evaluate", "simulated_small", raw, "--acs", 16, "-o", tmp_path / f"{n_guises}.csv",
                     "--parameter", f"KBandRecon.self_ensemble={n_guises}")  # fmt: skip
        assert told.exit_code == 0, told.output
        with (tmp_path / f"{n_guises}.csv").open() as file:
            tables[n_guises] = {(row["slice"], row["method"]): float(row["nmse"]) for row in csv.DictReader(file)}
    for number in "01":
        one, four = (tables[n][number, f"simulated_small, self_ensemble {n}"] for n in tables)
        assert four < one
        assert tables[1][number, "SENSE"] == tables[4][number, "SENSE"]


@pytest.mark.parametrize(
    ("parameter", "sentence"),
    [
        ("SenseRecon.n_iterations=20", "SenseRecon.n_iterations: a property of KBandRecon or NufftKBandRecon expected"),
        ("KBandRecon.model=x", "but model and uncertainty"),
        ("KBandRecon.guises=2", "KBandRecon.guises: no such property"),
        ("KBandRecon.denoising=2", "KBandRecon.denoising: input should be less than or equal to 1, got '2'"),
    ],
)
def test_a_property_that_is_none_is_said_in_a_sentence(raw, model, parameter, sentence):
    told = kband("evaluate", model, raw, "--acs", 16, "--parameter", parameter)
    assert told.exit_code != 0
    assert sentence in " ".join(told.output.split())


def test_a_card_is_known_for_one_evaluation_alone(raw, model, monkeypatch):
    """What a command is told must not change what the next scan of this process finds."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # which the first command of a process sets
    before = dict(os.environ), available_models()
    assert kband("evaluate", model, raw, "--acceleration", 2, "--acs", 16).exit_code == 0
    assert (dict(os.environ), available_models()) == before
    assert "tiny" not in available_models()


@pytest.mark.parametrize("acs", [16, 20, 32])
def test_without_an_omission_there_is_no_error(acs, tmp_path, raw, model):
    """R=1 keeps every line: images of combined coils are those of the reference, bit for bit, for they are combined by
    maps from as many lines."""
    kband("evaluate", model, raw, "--acceleration", 1, "--acs", acs, "-o", tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        nmse = {row["method"]: float(row["nmse"]) for row in csv.DictReader(file)}
    assert nmse["zero-filled"] == nmse["tiny"] == nmse["SENSE"] == 0


def test_an_image_by_another_method_says_so(raw, tmp_path):
    """Outside its card the gadget falls back to SENSE: that figure is not the network's."""
    save_tiny_model(tmp_path / "models", limits={**LIMITS, "acceleration": [1, 2]})
    told = kband("evaluate", tmp_path / "models" / "tiny.yaml", raw, "--acceleration", 3, "--acs", 16)
    assert "tiny, fell back" in told.output


def only_noise(lines, slices):
    """Copies of lines, those of some slices replaced by noise: the ends of a volume lie in air."""
    rng = np.random.default_rng(0)
    for line in copy.deepcopy(lines):
        if line.idx.slice in slices and not flags.is_noise(line):
            line.data[:] = rng.standard_normal(line.data.shape) + 1j * rng.standard_normal(line.data.shape)
        yield line


def test_a_slice_of_noise_is_left_out(tmp_path, full, model):
    """It has no maps, so no image to compare with; the other slice is judged as if alone, and the omission is told."""
    header, lines = full
    write_raw(tmp_path / "end.h5", header, only_noise(lines, [1]))
    told = kband("evaluate", model, tmp_path / "end.h5", "--acceleration", 2, "-o", tmp_path / "table.csv")
    assert told.exit_code == 0, told.output
    assert "24 calibration lines, lines; 1 of nothing but noise left out\n" in told.output
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["slice"] for row in rows] == ["0"] * 3
    assert all(float(row["nmse"]) < 1 for row in rows)
    write_raw(tmp_path / "air.h5", header, only_noise(lines, [0, 1]))
    nothing = kband("evaluate", model, tmp_path / "air.h5", "--acceleration", 2)
    assert nothing.exit_code == 1
    assert "air.h5: 0 images to judge: there is nothing but noise" in nothing.output


def test_what_cannot_be_evaluated_is_said_in_a_sentence(tmp_path, scan, model):
    """An accelerated scan has no answer to compare with."""
    write_raw(tmp_path / "fast.h5", scan[0], scan[1])
    told = kband("evaluate", model, tmp_path / "fast.h5", tmp_path / "none.h5")
    assert told.exit_code == 1
    assert "fast.h5: the scan is 2-fold accelerated already; a full one needed" in told.output
    assert "none.h5: no such file" in told.output
    unknown = kband("evaluate", "absent", tmp_path / "fast.h5")
    assert unknown.exit_code == 1


def test_a_scan_that_lacks_lines_is_refused(tmp_path, full, model):
    """A header may promise what was not acquired."""
    header, lines = full
    write_raw(tmp_path / "cut.h5", header, [line for line in lines if line.idx.kspace_encode_step_1 != 5])
    told = kband("evaluate", model, tmp_path / "cut.h5", "--acs", 12)
    assert "63 of 64 lines were acquired; a full scan needed" in told.output


def test_figures_of_a_known_error():
    """An error at one k-space sample beyond half the radius is all in nmse_outer; a global phase is no error of
    magnitudes."""
    reference = torch.zeros(16, 16, dtype=torch.complex64)
    reference[8, 8] = 16  # a flat k-space of ones
    wave = torch.exp(2j * torch.pi * 6 / 16 * torch.arange(16.0)).expand(16, 16) / 16
    found = figures(reference + wave, reference)
    radius = torch.hypot(*torch.meshgrid(torch.arange(-8, 8) / 8, torch.arange(-8, 8) / 8, indexing="ij"))
    assert found["nmse_outer"] == pytest.approx(1 / int((radius >= 0.5).sum()), rel=1e-4)
    assert figures(1j * reference, reference)["nmse"] == 0


def test_the_authors_metrics_by_hand():
    """Their definitions on images of 7 × 14 pixels: not scale-free, scaled image by image, tile by tile."""
    rng = torch.Generator().manual_seed(0)
    reference = 1 + torch.rand(7, 14, generator=rng)
    image = reference + 0.1 * torch.rand(7, 14, generator=rng)
    assert authors_nmse(image, reference) == pytest.approx(
        ((image - reference) ** 2).mean() / (reference.max() - reference.min())
    )
    assert authors_nmse(3 * image, 3 * reference) == pytest.approx(3 * authors_nmse(image, reference))
    assert torch.isinf(authors_psnr(2 * reference + 1, reference)) or authors_psnr(2 * reference + 1, reference) > 100
    assert authors_ssim(5 * reference, reference) == pytest.approx(1)
    p, t = ((255 * (array / array.max())).floor().double().view(7, 2, 7) for array in (image, reference))
    p, t, tile = p.transpose(1, 2), t.transpose(1, 2), (0, 1)  # columns of a tile in front of the tiles
    cov = ((p - p.mean(tile)) * (t - t.mean(tile))).mean(tile)
    structure = (2 * cov + 7.65**2) / (p.var(tile, correction=0) + t.var(tile, correction=0) + 7.65**2)
    luminance = (2 * p.mean(tile) * t.mean(tile) + 2.55**2) / (p.mean(tile) ** 2 + t.mean(tile) ** 2 + 2.55**2)
    assert authors_ssim(image, reference) == pytest.approx(float((structure * luminance).mean()), rel=1e-5)
