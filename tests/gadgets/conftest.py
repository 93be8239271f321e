"""A small scan header, and lines and images made to order."""

import ismrmrd
import ismrmrd.xsd as mrd
import numpy as np
import pytest

from gadgets.scan import Scan
from kband_core.phantom import coil_kspace, head_phantom, loop_coils
from tests.gadgets.heads import N_COILS as HEAD_COILS
from tests.gadgets.heads import N as HEAD_SIZE
from tests.gadgets.streams import N_COILS, N_LINES, N_SAMPLES


@pytest.fixture(scope="session")
def minimal_scan():
    """Maker of a scan of `n_encodings` equal encodings; `matrix` and `fov` (mm) are those of the image."""

    def make(
        matrix=(64, 32, 1), fov=(256.0, 128.0, 5.0), *, oversampling=2, acceleration=1, calibration_mode="embedded",
        noise_bandwidth=None, n_encodings=1, **counters,
    ) -> Scan:  # fmt: skip
        def space(factor: float) -> mrd.encodingSpaceType:
            size = mrd.matrixSizeType(x=int(matrix[0] * factor), y=matrix[1], z=matrix[2])
            return mrd.encodingSpaceType(
                matrixSize=size, fieldOfView_mm=mrd.fieldOfViewMm(x=fov[0] * factor, y=fov[1], z=fov[2])
            )

        def steps(n: int) -> mrd.limitType:
            return mrd.limitType(minimum=0, maximum=n - 1, center=n // 2)

        limits = mrd.encodingLimitsType(
            kspace_encoding_step_1=steps(matrix[1]), kspace_encoding_step_2=steps(matrix[2]),
            **{name: mrd.limitType(minimum=0, maximum=n - 1, center=0) for name, n in counters.items()},
        )  # fmt: skip
        factor = mrd.accelerationFactorType(kspace_encoding_step_1=acceleration, kspace_encoding_step_2=1)
        parallel = mrd.parallelImagingType(
            accelerationFactor=factor, calibrationMode=mrd.calibrationModeType(calibration_mode)
        )
        encoding = mrd.encodingType(
            encodedSpace=space(oversampling), reconSpace=space(1), encodingLimits=limits,
            trajectory=mrd.trajectoryType.CARTESIAN, parallelImaging=parallel if acceleration > 1 else None,
        )  # fmt: skip
        header = mrd.ismrmrdHeader(
            experimentalConditions=mrd.experimentalConditionsType(H1resonanceFrequency_Hz=63_870_000),
            acquisitionSystemInformation=mrd.acquisitionSystemInformationType(
                relativeReceiverNoiseBandwidth=noise_bandwidth
            ),
            encoding=[encoding] * n_encodings,
        )
        return Scan.from_xml(mrd.ToXML(header))

    return make


@pytest.fixture(scope="session")
def make_acquisition():
    """Maker of one line: zeros of `n_coils` by `n_samples`, or `data`; `flags` by number, counters by name."""

    def make(data=None, *, n_coils=4, n_samples=128, flags=(), trajectory=None, header=None, **counters):
        data = np.zeros((n_coils, n_samples)) if data is None else np.asarray(data)
        line = ismrmrd.Acquisition.from_array(data.astype(np.complex64), trajectory)
        line.center_sample = data.shape[1] // 2
        line.sample_time_us = 5.0
        for number in flags:
            line.set_flag(number)
        for name, value in (header or {}).items():
            setattr(line, name, value)
        for name, value in counters.items():
            setattr(line.idx, name, value)
        return line

    return make


@pytest.fixture
def make_image():
    """Maker of an image of `pixels` `(..., y, x)` with the given header fields and meta."""

    def make(pixels, meta=None, **header):
        pixels = np.asarray(pixels)
        pixels = pixels.reshape((1,) * (4 - pixels.ndim) + pixels.shape)
        image = ismrmrd.Image.from_array(pixels, transpose=False, **header)
        image.attribute_string = ismrmrd.Meta(meta or {}).serialize()
        return image

    return make


@pytest.fixture
def noise():
    """Maker of complex white noise of SD `sd` per real and imaginary component."""

    def make(*shape, sd=1.0, seed=0):
        rng = np.random.default_rng(seed)
        return sd * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))

    return make


@pytest.fixture
def scan_of(minimal_scan):
    """Scan of an 8 × 6 matrix without readout oversampling."""
    return lambda **kwargs: minimal_scan((N_SAMPLES, N_LINES, 1), (60.0, 80.0, 5.0), oversampling=1, **kwargs)


@pytest.fixture
def kspace(noise):
    """K-space [coil ky kx] of that matrix."""
    return noise(N_COILS, N_LINES, N_SAMPLES).astype(np.complex64)


@pytest.fixture(scope="session")
def head() -> np.ndarray:
    """K-space [coil ky kx] of the analytic phantom, 64 × 64, without readout oversampling."""
    return coil_kspace(head_phantom(), loop_coils(HEAD_COILS), (HEAD_SIZE, HEAD_SIZE), oversampling=1).numpy()


@pytest.fixture(scope="session")
def lines_of(head, make_acquisition):
    """Maker of the lines of an R-fold scan with 20 embedded calibration lines."""

    def make(acceleration=1, acs=range(22, 42), kspace=head, **counters):
        for row in range(HEAD_SIZE):
            on_grid = row % acceleration == 0
            if on_grid or row in acs:
                flags = [] if acceleration == 1 or row not in acs else [21] if on_grid else [20]
                yield make_acquisition(kspace[:, row], flags=flags, kspace_encode_step_1=row, **counters)

    return make


@pytest.fixture(scope="session")
def head_scan(minimal_scan):
    """Maker of the scan those lines belong to."""
    return lambda **kwargs: minimal_scan((HEAD_SIZE, HEAD_SIZE, 1), (256.0, 256.0, 5.0), oversampling=1, **kwargs)
