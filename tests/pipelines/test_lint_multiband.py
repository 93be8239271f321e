"""Chains for slices that are excited at once: door and method belong together."""

import pytest

from gadgets.errors import PipelineError
from pipelines.chain.pipeline import Pipeline
from tests.pipelines.test_lint import chain, errors, ours


@pytest.mark.parametrize("name", ["SenseRecon", "GrappaRecon", "RakiRecon", "KBandRecon"])
def test_methods_that_cannot_tell_slices_apart_are_refused(name):
    """They would show slices on top of one another under the name of one; before the scan, and by kband check."""
    text = chain(inside=ours("MultibandBuffer") + ours("CoilSensitivities") + ours(name))
    said = f"{name} cannot tell slices apart that were excited at once; MultibandSenseRecon can"
    assert errors(text) == [said]
    with pytest.raises(PipelineError, match=said):
        Pipeline.from_xml(text)


def test_the_method_needs_its_door():
    """Behind another one it would never get what it is for."""
    text = chain(inside=ours("AcquisitionBuffer") + ours("CoilSensitivities") + ours("MultibandSenseRecon"))
    assert errors(text) == ["MultibandSenseRecon needs MultibandBuffer before it"]
