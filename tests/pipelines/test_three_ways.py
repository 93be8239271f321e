"""Plain files for whoever opens one, and yet one chain: four reconstructions, three ways in, EPI; no drift."""

import pytest

from pipelines.chain.pipeline import installed_pipelines, installed_xml
from pipelines.chain.xml import read_chain

RECONSTRUCTIONS = {"sense": "SenseRecon", "grappa": "GrappaRecon", "raki": "RakiRecon", "kband": "KBandRecon"}
WAYS = ("", "_warm", "_buffered")
OF_EPI = ("sense", "grappa", "kband")
OF_SEVERAL_SLICES = {"multiband_sense", "epi_multiband_sense"}
OF_ECHOES = {"waterfat": "sense", "waterfat_radial": "radial"}
TRAJECTORIES = ("radial", "radial_kband", "radial_realtime", "spiral", "pkt")
ALONG_TRAJECTORIES = {name + way for name in TRAJECTORIES for way in ("", "_warm")}


def nodes(name: str) -> dict[str, tuple]:
    """The gadgets of an installed pipeline, in order, with all that is written of each; the library aside."""
    chain = read_chain(installed_xml(name)).nodes
    return {node.classname: (node.properties, node.name, node.is_external) for node in chain}


def test_there_are_no_others():
    """Else the laws below would not be about all of them."""
    of_epi = {f"epi_{name}" for name in OF_EPI}
    on_a_grid = {name + way for name in RECONSTRUCTIONS for way in WAYS} | of_epi
    others = OF_SEVERAL_SLICES | ALONG_TRAJECTORIES | {"prepare", "prepare_radial", "auto", "auto_warm"}
    others |= {"active", "active_warm"}
    others |= {name + way for name in OF_ECHOES for way in ("", "_warm")}
    assert set(installed_pipelines()) == on_a_grid | others


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "gadget"), RECONSTRUCTIONS.items())
def test_pipelines_differ_in_the_reconstruction_alone(name, gadget, way):
    """What a site learns of one it knows of all; an image differs by its method, not by its coils."""
    others = list(nodes(f"sense{way}").items())
    of_name = list(nodes(name + way).items())
    at = [classname for classname, _ in others].index("SenseRecon")
    assert of_name[at][0] == gadget
    assert (of_name[:at], of_name[at + 1 :]) == (others[:at], others[at + 1 :])


@pytest.mark.parametrize("name", RECONSTRUCTIONS)
def test_buffered_pipelines_differ_in_the_way_in_alone(name):
    """Gadgetron's buffers instead of ours: the same from there on."""
    direct, buffered = list(nodes(name).items()), list(nodes(f"{name}_buffered").items())
    at = [classname for classname, _ in direct].index("AcquisitionBuffer")
    stock = ["AcquisitionAccumulateTriggerGadget", "BucketToBufferGadget", "BufferIntake"]
    assert [classname for classname, _ in buffered[at : at + 3]] == stock
    assert (buffered[:at], buffered[at + 3 :]) == (direct[:at], direct[at + 1 :])


@pytest.mark.parametrize("name", OF_EPI)
def test_epi_pipelines_differ_by_the_trains_alone(name):
    """Lines are gridded from the samples as they were read: nothing may move or crop them before."""
    plain, epi = list(nodes(name).items()), list(nodes(f"epi_{name}").items())
    at = [classname for classname, _ in epi].index("EpiLines")
    assert [classname for classname, _ in plain if classname not in dict(epi)] == [
        "AsymmetricEchoAdjustROGadget", "RemoveROOversamplingGadget",
    ]  # fmt: skip
    assert epi[at + 1][0] == "AcquisitionBuffer"
    assert epi[:at] + epi[at + 1 :] == [node for node in plain if node[0] in dict(epi)]


def test_radial_and_spiral_are_one_chain():
    """Gadgetron's RemoveROOversampling would leave their trajectories untrimmed: none of them has it."""
    assert nodes("radial") == nodes("spiral")
    assert [name for name in nodes("radial") if name in nodes("sense")] == [
        "NoiseAdjustGadget", "CoilCompression", "CoilSensitivities", "ImageArraySplitGadget", "ComplexToFloatGadget",
        "AutoScaleGadget", "FloatToUShortGadget", "ImageFinishGadget",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "gadget"), [("radial_kband", "NufftKBandRecon"), ("pkt", "PktRecon")])
def test_a_network_along_spokes_differs_in_the_reconstruction_alone(name, gadget):
    """What it falls back to is the image that radial.xml makes."""
    sense, kband = list(nodes("radial").items()), list(nodes(name).items())
    at = [classname for classname, _ in sense].index("NufftSenseRecon")
    assert kband[at][0] == gadget
    assert (kband[:at], kband[at + 1 :]) == (sense[:at], sense[at + 1 :])


@pytest.mark.parametrize(("maps", "images"), OF_ECHOES.items())
def test_maps_are_those_of_the_images_that_a_site_knows(maps, images):
    """The echoes leave as `sense` and `radial` make them, but for one phase; maps follow."""
    of_maps, of_images = list(nodes(maps).items()), list(nodes(images).items())
    added = ["SharedPhase", "GatheredEchoes", "WaterFat"]
    assert [name for name, _ in of_maps if (name, nodes(maps)[name]) not in of_images] == added
    assert [one for one in of_maps if one[0] not in added] == of_images


@pytest.mark.parametrize(
    ("planes", "images", "recon"),
    [("prepare", "kband", "KBandRecon"), ("prepare_radial", "radial_kband", "NufftKBandRecon")],
)
def test_planes_are_those_that_a_reconstruction_gets(planes, images, recon):
    """A network must not meet other coils or maps at the scanner than in training; the bare form knows no outside."""
    prepare, kband = ([(name, given[0]) for name, given in nodes(of).items()] for of in (planes, images))
    assert prepare[-1] == ("CollectPlanes", {})
    assert prepare[:-1] == kband[: len(prepare) - 1]
    assert kband[len(prepare) - 1][0] == recon
