"""What a scanner with OpenRecon asks for: a pipeline, and properties of its gadgets, by the container's parameters.

The scanner always asks for the configuration `openrecon`; behind the header it sends, as JSON, the parameters that the
label of the container's image declares (`docker/openrecon/label.json`), whether or not anybody has touched them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gadgets.errors import PipelineError
from pipelines.chain.chain import Chain

CONFIGURATION = "openrecon"
UNTIL_ASKED = "auto"
PIPELINES = ("auto", "sense", "grappa", "raki", "kband", "epi_sense", "epi_grappa", "epi_kband", "multiband_sense",
             "epi_multiband_sense")  # fmt: skip
METHODS = ("SenseRecon", "GrappaRecon", "RakiRecon", "KBandRecon", "MultibandSenseRecon")


class Parameter(NamedTuple):
    """A parameter's default, which leaves every pipeline as it is, and the properties that it sets otherwise."""

    default: str
    properties: tuple[str, ...]


PARAMETERS = {
    "coils": Parameter("0", ("CoilCompression.n_coils",)),
    "acsLines": Parameter("24", ("AcquisitionBuffer.acs_lines", "CoilSensitivities.acs_lines")),
    "maps": Parameter("espirit", ("CoilSensitivities.method",)),
    "iterations": Parameter("20", ("SenseRecon.n_iterations", "MultibandSenseRecon.n_iterations")),
    "model": Parameter("simulated_small", ("KBandRecon.model",)),
    "outsideCard": Parameter("fallback", ("KBandRecon.outside_card",)),
    "gfactor": Parameter("true", ("RakiRecon.gfactor",)),
    "partialFourier": Parameter("auto", tuple(f"{method}.partial_fourier" for method in METHODS)),
    "onFailure": Parameter("fallback", tuple(f"{method}.on_failure" for method in METHODS)),
    "deadline": Parameter("60", tuple(f"{method}.deadline" for method in METHODS)),
    "brightness": Parameter("2048", ("AutoScaleGadget.max_value",)),
}


def pipeline_of(given: Mapping[str, object]) -> str | None:
    """Name the pipeline that is asked for, if one is. Raises `PipelineError` for one that the label does not offer."""
    name = given.get("config")
    if name is None or name in PIPELINES:
        return name
    raise PipelineError(f"openrecon: no config '{str(name)[:80]}'; {', '.join(PIPELINES)} are offered")


def properties_of(given: Mapping[str, object], pipeline: str, chain: Chain) -> tuple[dict[str, str], str | None]:
    """Turn parameters into properties of the gadgets in a chain; a sentence names those that change nothing there."""
    gadgets = {node.classname for node in chain.nodes}
    properties, idle = {}, []
    for name, value in given.items():
        if name == "config":
            continue
        text = str(value).strip()
        text = text.lower() if text in ("True", "False") else text
        if name not in PARAMETERS:
            idle.append(name)
            continue
        default, targets = PARAMETERS[name]
        placed = [target for target in targets if target.partition(".")[0] in gadgets]
        if text == default:
            continue
        properties |= dict.fromkeys(placed, text)
        idle += [] if placed else [f"{name}={text}"]
    shown = ", ".join(idle)[:200]
    return properties, f"openrecon: {shown} changes nothing in the pipeline '{pipeline}'" if idle else None
