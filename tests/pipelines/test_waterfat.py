"""Scans of several echoes from raw file to maps."""

import ismrmrd
import numpy as np
import pytest

from gadgets.images.quantitative import OFFSET
from gadgets.scan import Scan
from pipelines.chain.chain import with_properties
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.chain.xml import read_chain
from pipelines.pictures.comparison import map_agreement, reference_of, values_shown
from pipelines.simulation.simulated_echoes import Echoes, simulate_echoes
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.slab import Slab

TIMES = (1.23, 2.46, 3.69, 4.92, 6.15)
COARSE = {"matrix": 48, "n_slices": 1, "snr": 200.0}
PROTOCOLS = {
    "waterfat": Protocol(**COARSE, acceleration=2, acs_lines=16, n_coils=8),
    "waterfat_radial": Protocol(**COARSE, trajectory="golden", n_shots=40, n_coils=8),
}


@pytest.fixture(scope="module")
def scanned():
    """Each scan, made once."""
    return {name: simulate_echoes(protocol, Echoes(TIMES)) for name, protocol in PROTOCOLS.items()}


def maps_of(text, header, lines, **properties):
    """What leaves a pipeline, by quantity; images under None."""
    chain = with_properties(read_chain(text), {key.replace("__", "."): value for key, value in properties.items()})
    made: dict = {}
    for image in run(Pipeline.from_chain(chain), Scan.from_xml(header), iter(lines), Verdict()):
        made.setdefault(image.meta.get("kband_quantity"), []).append(image)
    return made


def errors_of(image, references):
    """Differences from the truth, in the map's unit, where both have a value."""
    found, truth = values_shown(image), values_shown(reference_of(image, references))
    return (found - truth)[np.isfinite(found) & np.isfinite(truth) & (truth != 0)]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_maps_are_those_of_what_was_scanned(name, scanned):
    """Within two percent of fat, 6/s and 3 Hz for half of the pixels; those at borders show Gibbs ringing."""
    if name == "waterfat_radial":
        pytest.importorskip("finufft")
    header, lines, references = scanned[name]
    made = maps_of(installed_xml(name), header, lines)
    assert [image.meta["kband_fallback"] for image in made[None]] == ["no"] * len(TIMES)
    for quantity, most in (("PDFF", 2.0), ("R2*", 6.0), ("B0", 3.0)):
        (image,) = made[quantity]
        assert np.median(np.abs(errors_of(image, references))) < most
        assert image.meta["kband_echoes"] == "5 echoes at 1.23, 2.46, 3.69, 4.92, 6.15 ms, 3 T"
    assert (np.abs(errors_of(made["PDFF"][0], references)) > 50).mean() < 0.01


def test_maps_by_the_network_that_ships(scanned):
    """Spokes, through the chain: who made the maps is said, and they are as near as those of the fit."""
    pytest.importorskip("finufft")
    header, lines, references = scanned["waterfat_radial"]
    text = installed_xml("waterfat_radial")
    fit, made = (maps_of(text, header, lines, WaterFat__model=model) for model in ("", "simulated_waterfat"))
    assert made["PDFF"][0].meta["kband_maps"].startswith("simulated_waterfat ")
    assert made["PDFF"][0].meta["kband_fallback"] == "no"
    for quantity, tolerance in (("PDFF", 1.1), ("R2*", 1.1), ("B0", 1.1)):
        ours, theirs = (np.abs(errors_of(maps[quantity][0], references)).mean() for maps in (made, fit))
        assert ours < tolerance * theirs


def test_echoes_share_the_phase_of_their_coil_maps():
    """Each echo has calibration lines of its own: without `SharedPhase` their maps, known up to a phase, turn the
    echoes and shift the field, by 6 Hz here."""
    header, lines, references = simulate_echoes(Protocol(**COARSE, acceleration=1, n_coils=16), Echoes(TIMES[:4]))
    text = installed_xml("waterfat")
    texts = text, text.replace("<gadget><classname>SharedPhase</classname></gadget>", "")
    maps = (maps_of(one, header, lines, CoilCompression__n_coils="6")["B0"][0] for one in texts)
    ours, theirs = (abs(errors_of(one, references).mean()) for one in maps)
    assert ours < 0.2 < 2 < theirs


def test_a_stack_of_stars_is_mapped_partition_by_partition():
    """The belly lies in the middle partitions; those beside it hold noise, and no value."""
    pytest.importorskip("finufft")
    protocol = Protocol(matrix=32, n_slices=1, n_coils=4, snr=200.0, trajectory="stack", n_shots=32, slab=Slab(4))
    header, lines, references = simulate_echoes(protocol, Echoes(TIMES[:3]))
    made = maps_of(installed_xml("waterfat_radial"), header, lines)
    assert made["PDFF"][0].data.shape == (1, 4, 32, 32)
    assert np.median(np.abs(errors_of(made["PDFF"][0], references))) < 5
    assert (made["unsure"][0].data[0, 0] > OFFSET).mean() > 0.95


def test_a_map_is_compared_with_the_true_one(scanned):
    """`kband replay` tells it of simulated scans, in the map's unit."""
    references = scanned["waterfat"][2]
    (truth,) = [one for one in references if one.meta.get("kband_quantity") == "B0"]
    off = ismrmrd.Image(truth.getHead(), data=truth.data + 3 * (truth.data != 0), meta=ismrmrd.Meta(truth.meta))
    assert map_agreement(off, reference_of(off, references)) == "B0 off by 3 Hz (median), +3 Hz on average"
    assert reference_of(off, references[: len(TIMES)]) is None


def test_what_echoes_cannot_be_simulated_of_is_refused():
    """One sentence."""
    with pytest.raises(ValueError, match=r"^echoes: held-out lines and local phases are simulated of the head"):
        simulate_echoes(Protocol(local_phase=1.0), Echoes(TIMES))
    with pytest.raises(ValueError, match=r"^2 echo times \(1, 2\), at least 3 needed"):
        Echoes((1.0, 2.0))
