"""Simulated EPI scans, small, and what becomes of their lines."""

import ismrmrd
import numpy as np

from gadgets.errors import ScanError
from gadgets.scan import Scan
from pipelines.chain.chain import with_properties
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.chain.xml import read_chain
from pipelines.simulation.epi_protocol import EchoTrain
from pipelines.simulation.simulated_epi import simulate_epi
from pipelines.simulation.simulated_protocol import Protocol

SMALL = {"matrix": 48, "n_coils": 4, "n_slices": 1, "acceleration": 1, "calibration": "separate", "acs_lines": 20,
         "snr": 200.0}  # fmt: skip


def epi_scan(train: EchoTrain | None = None, **protocol):
    """Header, lines and reference images of a scan by echo trains."""
    return simulate_epi(Protocol(**{**SMALL, **protocol}), train or EchoTrain())


def replayed(header, lines, pipeline="epi_sense", **properties):
    """Images of a pipeline, with properties of `EpiLines`, and the sentence with which the scan ended, or None."""
    chain = with_properties(read_chain(installed_xml(pipeline)), {f"EpiLines.{k}": v for k, v in properties.items()})
    images = []
    try:
        for image in run(Pipeline.from_chain(chain), Scan.from_xml(header), iter(lines), Verdict()):
            images.append(image)
    except ScanError as error:
        return images, str(error)
    return images, None


def error_of(image, references):
    """NRMSE of an image against the reference of its slice, brightness aside."""
    found, true = image.data.squeeze().astype(float), references[image.slice].data.squeeze().astype(float)
    gain = (found * true).sum() / np.square(found).sum()
    return float(np.sqrt(np.square(gain * found - true).sum() / np.square(true).sum()))


def is_navigator(line):
    return line.is_flag_set(ismrmrd.ACQ_IS_PHASECORR_DATA)


def navigators_last(lines):
    """Each group of navigators behind the train that it opened."""
    moved, group, in_train = [], [], False
    for line in lines:
        if not is_navigator(line):
            moved.append(line)
            in_train = bool(group)
            continue
        if in_train:
            moved, group, in_train = moved + group, [], False
        group.append(line)
    return moved + group


def navigators_late(lines, n_first=5):
    """The navigators of a single train behind its first echoes."""
    at = [number for number, line in enumerate(lines) if is_navigator(line)]
    first, last = at[0], at[-1] + 1
    return [*lines[:first], *lines[last : last + n_first], *lines[first:last], *lines[last + n_first :]]
