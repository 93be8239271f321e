"""Networks of other packages: the one that kband_core/README.md shows, installed beside us and used like ours."""

import re
from pathlib import Path

import pytest
import torch
import yaml

from kband_core.models import load_card, load_model, save_model
from kband_core.networks import build
from kband_core.reconstruct import network
from kband_core.sampling import Grid
from kband_core.training.recipe import parse_recipe
from tests.tiny_models import FIELDS

README = (Path(__file__).parents[2] / "kband_core" / "README.md").read_text()
SOURCE = re.search(r"^```python\n(.*?class GradientNet.*?)^```$", README, re.MULTILINE | re.DOTALL)[1]
RECIPE = re.search(r"^```yaml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[1]
OFFER = re.search(r'^\[project.entry-points."(kband\.networks)"\]\n(.*?)^```$', README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a package with that source and those entry points where Python finds it, as pip does."""

    def installed(module: str, source: str, entry_points: str) -> None:
        (tmp_path / f"{module}.py").write_text(source)
        information = tmp_path / f"{module}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[kband.networks]\n{entry_points}\n")
        monkeypatch.syspath_prepend(tmp_path)

    return installed


@pytest.fixture
def gradient_net(install):
    """The package of the README."""
    assert OFFER[1] == "kband.networks"
    install("my_networks", SOURCE, OFFER[2].replace('"', ""))


def test_the_network_of_the_readme_reconstructs(gradient_net, rng):
    """It stands in no file of ours, and its settings are its own."""
    model = build("gradient_net", n_steps=2, channels=4)
    kspace = torch.randn(2, 3, 24, 20, dtype=torch.complex64, generator=rng)
    everything = Grid(torch.ones(1, 24, 1, dtype=torch.bool))
    csm = torch.full((2, 1, 3, 24, 20), 3**-0.5, dtype=torch.complex64)
    image = network(kspace, everything, csm, model)
    assert image.shape == (2, 24, 20)
    assert torch.isfinite(torch.view_as_real(image)).all()
    with pytest.raises(ValueError, match="network gradient_net: no setting 'unrolls'; settings are n_steps, channels"):
        build("gradient_net", unrolls=2)


def test_the_network_of_the_readme_becomes_a_model(gradient_net, tmp_path, monkeypatch):
    """What a recipe builds is saved with a card that names it, and loaded by it, weight by weight."""
    recipe = parse_recipe(yaml.safe_load(RECIPE), "my_recipe")
    module = recipe.network.build()
    described = {"name": recipe.network.name, "config": recipe.network.settings}
    save_model(tmp_path, {**FIELDS, "name": "mine", "network": described}, module)
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    loaded = load_model("mine").state_dict()
    assert load_card("mine").network.name == "gradient_net"
    assert all(torch.equal(loaded[name], weights) for name, weights in module.state_dict().items())


def test_a_network_that_nobody_offers_is_none(gradient_net):
    """The sentence lists ours and those that are installed."""
    names = "gradient_net, kiki, line_evaluator, modl, pkt, unet, upnet"
    with pytest.raises(ValueError, match=rf"\Anetwork: no network 'gradnet'; networks are {names}\Z"):
        build("gradnet")


@pytest.mark.parametrize(("source", "reason"), [
    ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
    ("Net = 1 / 0", "ZeroDivisionError: division by zero"),
    ("", "AttributeError: module 'broken_{}' has no attribute 'Net'"),
])  # fmt: skip
def test_a_package_that_cannot_be_imported_is_named(install, source, reason):
    """One sentence, whatever its code raises; the others still work."""
    number = len(source)
    install(f"broken_{number}", source, f"theirs = broken_{number}:Net")
    sentence = f"network theirs: broken_{number}:Net of the installed package broken_{number} cannot be imported ("
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as refused:
        build("theirs")
    assert str(refused.value) == f"{sentence}{reason.format(number)})"
    assert build("unet", channels=2, scales=1) is not None


def test_our_networks_cannot_be_replaced(install):
    """A model that ships means the same network on every machine."""
    install("impostor", "raise SystemExit", "modl = impostor:Net")
    assert type(build("modl", blocks=2, channels=2)).__module__ == "kband_core.networks.modl"
