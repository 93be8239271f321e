"""Scans of four slices, two at once, and what the pipeline makes of them."""

import functools

import ismrmrd
import ismrmrd.xsd
import numpy as np

from gadgets.errors import ScanError
from gadgets.receiving.multiband_buffer import MultibandBuffer
from gadgets.scan import Scan
from pipelines.chain.pipeline import Pipeline, load_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.simulation.simulated_multiband import Excitation, simulate_multiband
from pipelines.simulation.simulated_protocol import Protocol

PROTOCOL = Protocol(matrix=48, n_slices=4, acceleration=1, snr=100.0, noise_scan=False, oversampling=1)
SINGLE = 4 * 24  # single-band lines, which come first

PAIRS = Excitation(2, 2)


@functools.cache
def simulated(protocol=PROTOCOL, excitation=PAIRS):
    return simulate_multiband(protocol, excitation)


def images_of(lines, header=None, **properties):
    """Images of the pipeline, in the order of their coming; warnings apart, and the error at the end, if any."""
    pipeline = Pipeline.from_xml(load_xml("multiband_sense"))
    for name, value in properties.items():
        setattr(next(one for one in pipeline.gadgets if isinstance(one, MultibandBuffer)), name, value)
    found, error = [], None
    try:
        for item in run(pipeline, Scan.from_xml(header or simulated()[0]), lines, Verdict()):
            found.append(item)
    except ScanError as problem:
        error = str(problem)
    return [one for one in found if isinstance(one, ismrmrd.Image)], error


def edited(edit):
    """The header after `edit` of its parsed form."""
    header = ismrmrd.xsd.CreateFromDocument(simulated()[0])
    edit(header)
    return ismrmrd.xsd.ToXML(header)


def pixels(images):
    return {image.slice: image.data[0, 0].astype(float) for image in images}


def error_of(image, reference):
    scale = (image * reference).sum() / (image**2).sum()
    return np.linalg.norm(scale * image - reference) / np.linalg.norm(reference)
