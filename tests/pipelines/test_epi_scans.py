"""EPI scans of a head whose k-space is exact, through the installed pipelines, to images."""

import pytest

from gadgets.epi.epi_lines import EpiLines
from gadgets.flags import is_noise
from gadgets.items import Aside
from gadgets.scan import Scan
from pipelines.simulation.epi_protocol import EchoTrain
from tests.pipelines.epi_scans import (
    epi_scan,
    error_of,
    is_navigator,
    navigators_last,
    navigators_late,
    replayed,
)

NOISE = 0.025  # NRMSE of what noise and Gibbs ringing leave, at SNR 200 and 48²; a ghost makes it 0.2


def good(images, references, *, n_images=1):
    """Complete, by the method that was promised, and as close to the truth as noise allows."""
    assert [image.meta["kband_complete"] for image in images] == ["yes"] * n_images
    assert {image.meta["kband_fallback"] for image in images} == {"no"}
    return max(error_of(image, references) for image in images) < NOISE


SCANS = {
    "one shot": {},
    "sampled on the flat top only": {"train": EchoTrain(ramp_sampling=False)},
    "four shots": {"train": EchoTrain(n_shots=4)},
    "navigators between echoes": {"train": EchoTrain(n_before=6, echo_drift=0.1)},
    "strong": {"train": EchoTrain(echo_shift=1.5, echo_phase=1.0, echo_drift=0.1)},
    "averages": {"train": EchoTrain(n_shots=2), "n_averages": 2},
    "two slices, three repetitions": {"n_slices": 2, "n_repetitions": 3},
}


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_trains_become_images_without_a_ghost(scan):
    """Lines counted are those of the image: navigators are none of them."""
    header, lines, references = epi_scan(**scan)
    images, problem = replayed(header, lines)
    assert problem is None
    assert good(images, references, n_images=scan.get("n_slices", 1) * scan.get("n_repetitions", 1))
    expected = 48 * scan.get("n_averages", 1)
    assert {image.meta["kband_lines"] for image in images} == {f"{expected} of {expected}"}


def test_the_meta_tells_the_ghost_before_and_after():
    """Whoever looks at the image learns what there was to correct, and what is left."""
    header, lines, _ = epi_scan()
    ((image,), _) = replayed(header, lines)
    before, after = (float(part.split()[0]) for part in image.meta["kband_ghost"].split(", "))
    assert before > 0.2
    assert after < 0.02
    assert image.meta["kband_phase_correction"] == "linear, per coil"


@pytest.mark.parametrize("pipeline", ["epi_sense", "epi_grappa"])
@pytest.mark.parametrize("reference", ["epi", "flash"])
def test_accelerated_trains_are_calibrated(pipeline, reference):
    """By trains with navigators of their own, or by lines of an encoding of their own, oversampled; R=2."""
    header, lines, references = epi_scan(EchoTrain(reference=reference), n_slices=2, n_repetitions=2, acceleration=2)
    images, problem = replayed(header, lines, pipeline)
    assert problem is None
    assert {image.meta["kband_lines"] for image in images} == {"24 of 24"}
    assert {image.meta["kband_method"] for image in images} == {"SENSE" if pipeline == "epi_sense" else "GRAPPA"}
    assert {image.meta["kband_ghost"] for image in images} == {"unknown"}
    assert max(error_of(image, references) for image in images) < 1.6 * NOISE
    assert len(images) == 4


def test_partial_fourier_is_complete():
    """The header's limits tell that no line is missing; what zero-filling leaves is not asked here."""
    header, lines, _ = epi_scan(partial_fourier=0.75)
    ((image,), problem) = replayed(header, lines)
    assert (problem, image.meta["kband_lines"], image.meta["kband_complete"]) == (None, "36 of 36", "yes")


@pytest.mark.parametrize("moved", [navigators_last, navigators_late])
def test_navigators_may_come_late(moved):
    """Behind the first echoes, or behind the train: the image waits for them."""
    header, lines, references = epi_scan()
    images, problem = replayed(header, moved(lines))
    assert problem is None
    assert good(images, references)


def test_navigators_behind_each_of_several_shots():
    """Each belongs to the shot before it, in the first repetition and in those that follow."""
    header, lines, references = epi_scan(EchoTrain(n_shots=3), n_repetitions=2)
    images, problem = replayed(header, navigators_last(lines))
    assert problem is None
    assert good(images, references, n_images=2)
    assert {"shots" in image.meta["ImageComments"] for image in images} == {False}


def test_a_shot_that_lost_its_navigators_takes_those_of_another():
    """And the image says so."""
    header, lines, references = epi_scan(EchoTrain(n_shots=4))
    navigators = [number for number, line in enumerate(lines) if is_navigator(line)]
    kept = [line for number, line in enumerate(lines) if number not in navigators[3:6]]
    images, _ = replayed(header, kept)
    assert good(images, references)
    assert "1 of 4 EPI shots corrected by navigators of another shot" in images[0].meta["ImageComments"]


def test_a_lost_line_makes_the_image_incomplete():
    """One sentence in the comment, and the phases of the lines behind it are still right."""
    header, lines, references = epi_scan()
    ((image,), _) = replayed(header, lines[:40] + lines[41:])
    assert image.meta["kband_lines"] == "47 of 48"
    assert "INCOMPLETE 47 of 48 lines" in image.meta["ImageComments"]
    assert error_of(image, references) < 2 * NOISE


def test_a_navigator_of_three_that_is_lost_leaves_the_drift():
    """Two still tell the phase between both ways; the image has moved, and says so."""
    header, lines, _ = epi_scan()
    first = next(number for number, line in enumerate(lines) if is_navigator(line))
    ((image,), _) = replayed(header, lines[:first] + lines[first + 1 :])
    assert "1 of 1 EPI shots without their drift from echo to echo" in image.meta["ImageComments"]
    assert image.meta["kband_ghost"].endswith(", 0.000 after")


def test_without_navigators_a_site_may_refuse():
    """A ghost of a third of the object is no image; the sentence says how to go on."""
    header, lines, _ = epi_scan(EchoTrain(n_navigators=0))
    images, problem = replayed(header, lines, refine="none")
    assert images == []
    assert problem == (
        "EpiLines: EPI shot without navigators of both ways (slice 0); refine=auto or phase_correction=none goes on"
    )


UNTOLD = {
    "one shot": {},
    "three shots, a phase beyond half a turn": {"train": {"n_shots": 3, "echo_phase": -2.8}},
    "two slices, three repetitions": {"n_slices": 2, "n_repetitions": 3},
}


@pytest.mark.parametrize("scan", UNTOLD.values(), ids=UNTOLD)
def test_without_navigators_entropy_finds_the_phase(scan):
    """From nothing; the drift, which moves the image along y, it cannot see, so there is none here."""
    train = EchoTrain(**{"n_navigators": 0, "echo_shift": 1.5, "echo_drift": 0.0, **scan.get("train", {})})
    others = {name: value for name, value in scan.items() if name != "train"}
    header, lines, references = epi_scan(train, **others)
    images, problem = replayed(header, lines)
    assert problem is None
    assert good(images, references, n_images=scan.get("n_slices", 1) * scan.get("n_repetitions", 1))


def test_an_image_without_navigators_is_marked():
    """It must not pass for one whose phase was measured: meta, comment, and a warning while the scan runs."""
    header, lines, _ = epi_scan(EchoTrain(n_navigators=0))
    ((image,), _) = replayed(header, lines)
    assert image.meta["kband_phase_correction"] == "entropy, without navigators"
    assert "EPI without navigators: phase by entropy, shift along y unknown" in image.meta["ImageComments"]
    gadget, scan = EpiLines(), Scan.from_xml(header)
    gadget.open(scan)
    warnings = [item.text for item in gadget.process(iter(lines)) if isinstance(item, Aside)]
    assert warnings == ["EpiLines: EPI shot without navigators of both ways (slice 0): phase by entropy, marked"]


@pytest.mark.parametrize(("reference", "echo_phase"), [("epi", 2.0), ("flash", -0.7)])
def test_accelerated_trains_without_navigators(reference, echo_phase):
    """Trains that calibrate tell any phase; without them the smaller of two that look alike is taken. R=2."""
    train = EchoTrain(n_navigators=0, echo_phase=echo_phase, echo_drift=0.0, echo_shift=1.2, reference=reference)
    header, lines, references = epi_scan(train, acceleration=2, n_coils=8, n_repetitions=2)
    images, problem = replayed(header, lines)
    assert problem is None
    assert [image.meta["kband_consistency"] for image in images] == ["good", "good"]
    assert max(error_of(image, references) for image in images) < 1.6 * NOISE


def test_no_correction_is_told():
    """The ghost stays, and the meta says that nothing was done against it."""
    header, lines, references = epi_scan()
    ((image,), _) = replayed(header, lines, phase_correction="none")
    assert image.meta["kband_phase_correction"] == "none"
    assert float(image.meta["kband_ghost"].split()[-2]) > 0.2
    assert error_of(image, references) > 4 * NOISE


def test_a_spoilt_line_is_set_aside_alone():
    """It must not spread over the lines of its train, nor over the phase of others."""
    header, lines, references = epi_scan()
    lines[40].data[0, 3] = float("nan")
    ((image,), problem) = replayed(header, lines)
    assert "samples are not finite numbers" in problem
    assert image.meta["kband_lines"] == "47 of 48"
    assert error_of(image, references) < 2 * NOISE


def test_repetitions_as_the_inner_loop():
    """One shot of each repetition, then the next shot of each: an image leaves when all of its shots are in."""
    header, lines, references = epi_scan(EchoTrain(n_shots=3), n_repetitions=3)
    shots = [[line for line in lines if line.idx.repetition == r and not is_noise(line)] for r in range(3)]
    inner = [line for at in range(3) for of_one in shots for line in of_one[19 * at : 19 * (at + 1)]]
    images, problem = replayed(header, [*filter(is_noise, lines), *inner])
    assert problem is None
    assert good(images, references, n_images=3)
    assert {image.meta["kband_ghost"].split(", ")[1] for image in images} == {"0.000 after"}


def test_navigators_under_counters_of_their_own_serve_the_slice():
    """Converters differ in what they count navigators by."""
    header, lines, references = epi_scan()
    for line in filter(is_navigator, lines):
        line.idx.set = 1
    images, problem = replayed(header, lines)
    assert problem is None
    assert good(images, references)
