"""What an MRD header may hold that tells nobody: numbers and fixed words of known elements."""

from __future__ import annotations

import re

NUMBERS = frozenset((
    "x", "y", "z", "minimum", "maximum", "center", "version", "H1resonanceFrequency_Hz", "systemFieldStrength_T",
    "relativeReceiverNoiseBandwidth", "receiverChannels", "coilNumber", "initialSeriesNumber", "echoTrainLength", "TR",
    "TE", "TI", "flipAngle_deg", "echo_spacing", "kspace_encoding_step_1", "kspace_encoding_step_2", "multiband_factor",
    "deltaKz", "spacing", "rl", "ap", "fh", "bvalue",
))  # fmt: skip
CONTAINERS = frozenset((
    "ismrmrdHeader", "experimentalConditions", "encoding", "encodedSpace", "reconSpace", "matrixSize",
    "fieldOfView_mm", "encodingLimits", "kspace_encoding_step_0", "average", "slice", "contrast", "phase", "repetition",
    "set", "segment", "parallelImaging", "accelerationFactor", "multiband", "sequenceParameters",
    "acquisitionSystemInformation", "measurementInformation", "relativeTablePosition",
))  # fmt: skip
WORDS = {
    "trajectory": ("cartesian", "epi", "radial", "goldenangle", "spiral", "other"),
    "calibrationMode": ("embedded", "interleaved", "separate", "external", "other"),
    "interleavingDimension": ("phase", "repetition", "contrast", "average", "other"),
    "patientPosition": ("HFP", "HFS", "HFDR", "HFDL", "FFP", "FFS", "FFDR", "FFDL"),
}
NUMBER = re.compile(r"[-+]?\d{0,12}\.?\d{0,12}(?:[eE][-+]?\d{1,3})?")
TAGS = re.compile(r"<(/?)(?:[\w.-]{1,40}:)?(\w{1,40})\b[^<>]{0,1000}>([^<]*)")


def is_structure(name: str, text: str) -> bool:
    """Whether an element of this name may hold this text, which then describes the measurement alone."""
    text = text.strip()
    return text in WORDS.get(name, ()) or (name in NUMBERS and NUMBER.fullmatch(text) is not None)


def structure_of(text: str) -> str:
    """Return what is known of a text that is no XML: the tags of known elements, and what is structure in them."""
    kept = []
    for is_end, name, content in TAGS.findall(text):
        if name in CONTAINERS or name in NUMBERS or name in WORDS:
            kept.append(f"<{is_end}{name}>{content.strip() if not is_end and is_structure(name, content) else ''}")
    return "".join(kept)
