"""What a scanner with OpenRecon shows and sends: the label keeps to its schema, each parameter does what it says."""

import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from gadgets.errors import PipelineError
from gadgets.gadget import gadget_class
from pipelines.chain.pipeline import installed_xml
from pipelines.chain.xml import read_chain
from pipelines.protocol.framing import Id, Message
from pipelines.protocol.openrecon import PARAMETERS, PIPELINES
from pipelines.protocol.request import Request
from tests.containers.label_schema import Label

ROOT = Path(__file__).parents[2]
LABEL = json.loads((ROOT / "docker/openrecon/label.json").read_text())
DECLARED = {parameter["id"]: parameter for parameter in LABEL["parameters"]}
UNTOUCHED = {name: str(parameter["default"]) for name, parameter in DECLARED.items()}


def asked(**parameters: object) -> Request:
    request = Request(Message(Id.CONFIG_FILE, (b"openrecon",)))
    request.remark = request.override(json.dumps({"version": "1.0", "parameters": parameters}))
    return request


def extremes() -> list[tuple[str, str]]:
    """Every parameter with every value that the scanner's screen lets somebody choose at its ends."""
    found = []
    for name, parameter in DECLARED.items():
        values = [value["id"] for value in parameter.get("values", ())]
        ends = [parameter[end] for end in ("minimum", "maximum") if end in parameter]
        found += [(name, str(value)) for value in values + ends + ([True, False] if not values + ends else [])]
    return [pair for pair in found if pair[0] != "config"]


def test_label_keeps_to_its_schema():
    """The scanner takes no container whose label does not."""
    Label.model_validate(LABEL)


WRONG = {
    "id with an underscore": lambda label: label["parameters"][1].update(id="n_coils"),
    "no config": lambda label: label["parameters"].pop(0),
    "default that is not offered": lambda label: label["parameters"][0].update(default="spirit"),
    "other protocol": lambda label: label["reconstruction"]["transfer_protocol"].update(version="2.0"),
    "long unit": lambda label: label["parameters"][-2].update(unit={"en": "seconds"}),
    "unknown key": lambda label: label["general"].update(licence="free"),
    "no address": lambda label: label["general"]["regulatory_information"].pop("manufacturer_address"),
    "fifteen parameters": lambda label: label["parameters"].extend(
        {**label["parameters"][1], "id": f"more{number}"} for number in range(3)
    ),
}


@pytest.mark.parametrize("damage", WRONG.values(), ids=WRONG)
def test_label_that_does_not_is_found(damage):
    """A check that cannot fail checks nothing."""
    label = json.loads(json.dumps(LABEL))
    damage(label)
    with pytest.raises(ValidationError):
        Label.model_validate(label)


def test_label_declares_what_the_server_takes():
    """The same parameters, defaults, pipelines and version: else the scanner's screen shows what nobody hears."""
    defaults = {name: text.lower() for name, text in UNTOUCHED.items() if name != "config"}
    assert defaults == {name: parameter.default for name, parameter in PARAMETERS.items()}
    assert tuple(value["id"] for value in DECLARED["config"]["values"]) == PIPELINES
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert LABEL["general"]["version"] == LABEL["general"]["regulatory_information"]["production_identifier"] == version


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_untouched_parameters_leave_the_pipeline_as_it_is(pipeline):
    """The scanner sends all of them, always; the image must be that of `kband replay`."""
    request = asked(**{**UNTOUCHED, "config": pipeline})
    assert (request.name, request.remark) == (pipeline, None)
    assert request.chain == read_chain(installed_xml(pipeline))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_default_is_what_the_pipeline_does(pipeline):
    """What the screen shows and nobody touches is true; 0 coils stand for the pipeline's own number."""
    for node in read_chain(installed_xml(pipeline)).nodes:
        gadget = gadget_class(node.classname).from_properties(node.properties)
        for name, (default, properties) in PARAMETERS.items():
            for target in properties:
                gadget_name, _, property_name = target.partition(".")
                if gadget_name == node.classname and name != "coils":
                    value = getattr(gadget, property_name)
                    assert type(value)(default if not isinstance(value, bool) else default == "true") == value, target


@pytest.mark.parametrize(("name", "value"), extremes())
def test_every_value_of_the_screen_is_taken(name, value):
    """No gadget refuses what the label allows, and in some pipeline it changes something."""
    default, properties = PARAMETERS[name]
    text = value.lower() if value in ("True", "False") else value
    for target in properties if text != default else ():
        gadget, _, property_name = target.partition(".")
        gadget_class(gadget).from_properties({property_name: text})
    assert any(asked(config=pipeline, **{name: value}).remark is None for pipeline in PIPELINES)


def test_what_changes_nothing_is_told():
    """Somebody has touched it and must not believe that it worked."""
    assert asked(config="grappa", iterations="30", coils="8", sharpen="1").remark == (
        "openrecon: iterations=30, sharpen changes nothing in the pipeline 'grappa'"
    )
    assert asked(coils="8").remark == "openrecon: coils=8 changes nothing in the pipeline 'auto'"


def test_only_the_label_counts():
    """A property by its own name, or another pipeline, is not on the scanner's screen."""
    request = asked(**{"config": "sense", "SenseRecon.n_iterations": "3", "customconfig": "grappa"})
    assert request.chain == read_chain(installed_xml("sense"))
    assert request.name == "sense"


def test_pipeline_that_is_not_offered_is_refused():
    """`prepare` makes no images; a file is none of the scanner's business."""
    with pytest.raises(PipelineError, match="openrecon: no config 'prepare'; auto, sense, grappa, "):
        asked(config="prepare")
