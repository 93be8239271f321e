"""The linter on how Gadgetron is to start the module behind `<external>`."""

import pytest

from pipelines.chain.lint import Finding, lint
from pipelines.chain.pipeline import installed_xml

SHIPPED = '<execute name="pipelines.hosts" target="external" type="python"/>'

HOW = {
    "": ["<external> has neither <execute> nor <connect>: Gadgetron cannot start it"],
    "<connect port='9100'/>": [],
    "<connect address='gpu'/>": ["<connect> has no port: Gadgetron cannot reach the module"],
    "<execute/>":
        [f"<execute> has no {name}: Gadgetron cannot start the module" for name in ("name", "target", "type")],
    "<execute name='pipelines.cli' target='main' type='python'/>": [],
    "<execute name='antigravity.x' target='fly' type='python'/>": [],  # foreign: neither judged nor imported
}  # fmt: skip


def findings(how: str) -> list[Finding]:
    """What the linter says of a shipped pipeline whose module is started otherwise."""
    assert SHIPPED in installed_xml("sense")
    return lint(installed_xml("sense").replace(SHIPPED, how))


@pytest.mark.parametrize(("how", "sentences"), HOW.items())
def test_how_an_external_node_is_started(how, sentences):
    """A module that does not start leaves the exam without images, and the client without an error."""
    assert findings(how) == [Finding("error", sentence) for sentence in sentences]


def test_a_module_of_ours_that_is_not_installed():
    """A warning, because Gadgetron may start another Python than the one that checks."""
    assert findings(SHIPPED.replace("pipelines.hosts", "gadgets.host")) == [
        Finding(
            "warning",
            "<execute>: 'gadgets.host' cannot be imported here (No module named 'gadgets.host'), so a Gadgetron with "
            "this Python cannot start it",
        )
    ]


@pytest.mark.parametrize(("target", "close"), [("mian", "; close is main"), ("logging", "")])
def test_a_target_that_cannot_be_called(target, close):
    """A module in its place is no function."""
    flaw = f"<execute>: 'pipelines.cli' has no '{target}' here, so a Gadgetron with this Python cannot start it{close}"
    how = f"<execute name='pipelines.cli' target='{target}' type='python'/>"
    assert findings(how) == [Finding("warning", flaw)]
