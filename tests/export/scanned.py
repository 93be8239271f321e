"""Images and headers of made-up scans, as sinks get them."""

import numpy as np

from gadgets.mrd import ismrmrd

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
META = {"kband_method": "SENSE", "kband_fallback": "no", "kband_complete": "yes", "kband_consistency": "good",
        "SequenceDescriptionAdditional": "_SENSE", "ImageComments": "SENSE"}  # fmt: skip

ENCODING = """<encoding><encodedSpace><matrixSize><x>12</x><y>10</y><z>1</z></matrixSize>
<fieldOfView_mm><x>24</x><y>30</y><z>5</z></fieldOfView_mm></encodedSpace><reconSpace>
<matrixSize><x>12</x><y>10</y><z>1</z></matrixSize><fieldOfView_mm><x>24</x><y>30</y><z>5</z></fieldOfView_mm>
</reconSpace><encodingLimits/><trajectory>cartesian</trajectory></encoding>"""
PATIENT = """<subjectInformation><patientName>Doe^Jane</patientName><patientWeight_kg>70.5</patientWeight_kg>
<patientID>4711</patientID><patientBirthdate>1970-01-31</patientBirthdate><patientGender>F</patientGender>
</subjectInformation><studyInformation><studyDate>2026-11-27</studyDate><studyTime>09:30:00</studyTime>
<studyID>7</studyID><accessionNumber>12</accessionNumber><studyInstanceUID>1.2.3.4</studyInstanceUID>
<bodyPartExamined>Head</bodyPartExamined></studyInformation>"""
MEASUREMENT = """<measurementInformation><patientPosition>HFS</patientPosition><protocolName>t1_tra</protocolName>
</measurementInformation><acquisitionSystemInformation><systemVendor>Somebody</systemVendor>
<systemFieldStrength_T>2.89362</systemFieldStrength_T></acquisitionSystemInformation>"""
CONDITIONS = """<experimentalConditions><H1resonanceFrequency_Hz>123250000</H1resonanceFrequency_Hz>
</experimentalConditions>"""
SEQUENCE = """<sequenceParameters><TR>500</TR><TE>4.5</TE><TE>9.0</TE><flipAngle_deg>15</flipAngle_deg>
<sequence_type>Flash</sequence_type></sequenceParameters>"""


def header(patient: str = "", sequence: str = "") -> str:
    return (f'<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">{patient}{MEASUREMENT if patient else ""}'
            f"{CONDITIONS}{ENCODING}{sequence}</ismrmrdHeader>")  # fmt: skip


FULL = header(PATIENT, SEQUENCE)


def image(pixels=None, *, directions=AXIAL, meta=(), dtype=np.uint16, **fields) -> ismrmrd.Image:
    """An image of 12 × 10 pixels of 2 × 3 mm, 5 mm thick, whose pixels all differ."""
    pixels = np.arange(120).reshape(1, 1, 10, 12).astype(dtype) if pixels is None else pixels
    fields = {"image_type": ismrmrd.IMTYPE_MAGNITUDE, "image_series_index": 1, "image_index": 1, **fields}
    n_partitions = pixels.shape[1]
    made = ismrmrd.Image.from_array(pixels, transpose=False, field_of_view=(24, 30, 5 * n_partitions), **fields)
    for name, vector in zip(("read_dir", "phase_dir", "slice_dir"), directions, strict=True):
        setattr(made, name, tuple(float(part) for part in vector))
    made.meta = {**META, **dict(meta)}
    return made


def slices(n: int, *, distance: float = 7.0, directions=AXIAL, **fields) -> list[ismrmrd.Image]:
    """Slices behind one another, from −10 mm on along their normal, the last one first."""
    normal = np.array(directions[2])
    places = [tuple(normal * (distance * k - 10)) for k in range(n)]
    return [image(directions=directions, slice=k, image_index=k + 1, position=places[k], **fields)
            for k in reversed(range(n))]  # fmt: skip
