"""The MRD header of a simulated scan."""

from __future__ import annotations

from gadgets.mrd import ismrmrd
from pipelines.simulation.header_document import header_document
from pipelines.simulation.simulated_protocol import FOV_MM, SLICE_SPACING_MM, Protocol
from pipelines.simulation.slab import SLAB_MM

xsd = ismrmrd.xsd

NOISE_BANDWIDTH = 0.793  # the share of the noise band that the receiver filter passes
TR_MS = 5.0
TRAJECTORIES = {"golden": "goldenangle", "stack": "radial"}  # in MRD's words, where they are others


def header_xml(protocol: Protocol) -> str:
    """Write the MRD header of the scan."""
    system = xsd.acquisitionSystemInformationType(
        systemVendor="simulation",
        relativeReceiverNoiseBandwidth=NOISE_BANDWIDTH,
        receiverChannels=protocol.n_coils,
        coilLabel=[xsd.coilLabelType(coilNumber=n, coilName=f"Head_{n + 1}") for n in range(protocol.n_coils)],
    )
    measurement = xsd.measurementInformationType(
        measurementID=f"simulated_{protocol.uid}",
        patientPosition=xsd.patientPositionType.HFS,
        protocolName="simulated_head",
    )
    header = xsd.ismrmrdHeader(
        measurementInformation=measurement,
        acquisitionSystemInformation=system,
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=123_250_000),
        encoding=[_encoding(protocol)],
        sequenceParameters=xsd.sequenceParametersType(TR=[TR_MS]),
    )
    if protocol.calibrates and protocol.calibration == "embedded":
        embedded = xsd.userParameterLongType(name="EmbeddedRefLinesE1", value=protocol.acs_lines)
        header.userParameters = xsd.userParametersType(userParameterLong=[embedded])
    return header_document(header)


def _encoding(protocol: Protocol) -> xsd.encodingType:
    rows = protocol.all_rows
    limits = xsd.encodingLimitsType(
        kspace_encoding_step_1=xsd.limitType(
            minimum=rows[0] - protocol.first_row,
            maximum=rows[-1] - protocol.first_row,
            center=protocol.centre_step,
        ),
        kspace_encoding_step_2=_partitions(protocol),
        average=_counter(protocol.n_averages),
        slice=_counter(protocol.n_slices),
        contrast=_counter(1),
        phase=_counter(1),
        repetition=_counter(protocol.n_repetitions),
        set=_counter(1),
        segment=_counter(1),
    )
    encoding = xsd.encodingType(
        encodedSpace=_space(protocol, protocol.oversampling),
        reconSpace=_space(protocol, 1),
        encodingLimits=limits,
        trajectory=xsd.trajectoryType(TRAJECTORIES.get(protocol.trajectory, protocol.trajectory)),
    )
    if protocol.total_acceleration > 1 and not protocol.is_along_shots:
        factor = xsd.accelerationFactorType(
            kspace_encoding_step_1=protocol.acceleration,
            kspace_encoding_step_2=protocol.slab.acceleration if protocol.slab else 1,
        )
        mode = xsd.calibrationModeType(protocol.calibration) if protocol.calibrates else None
        encoding.parallelImaging = xsd.parallelImagingType(accelerationFactor=factor, calibrationMode=mode)
    return encoding


def _counter(n: int) -> xsd.limitType:
    return xsd.limitType(minimum=0, maximum=n - 1, center=0)


def _partitions(protocol: Protocol) -> xsd.limitType:
    if protocol.slab is None:
        return _counter(1)
    n_partitions = protocol.slab.n_partitions
    return xsd.limitType(minimum=0, maximum=n_partitions - 1, center=n_partitions // 2)


def _space(protocol: Protocol, oversampling: int) -> xsd.encodingSpaceType:
    n_partitions, thickness = (protocol.slab.n_partitions, SLAB_MM) if protocol.slab else (1, SLICE_SPACING_MM)
    return xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(x=protocol.matrix * oversampling, y=protocol.matrix, z=n_partitions),
        fieldOfView_mm=xsd.fieldOfViewMm(x=FOV_MM * oversampling, y=FOV_MM, z=thickness),
    )
