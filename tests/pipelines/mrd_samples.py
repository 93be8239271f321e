"""Lines and images made to order, and the sentence a call fails with."""

import ismrmrd
import numpy as np
import pytest

from pipelines.files.finished_file import FileProblem

XML = "<ismrmrdHeader/>"


def line(number: int, trajectory_dimensions: int = 0) -> ismrmrd.Acquisition:
    data = number + np.arange(12).reshape(2, 6).astype(np.complex64) * (1 + 2j)
    trajectory = np.full((6, trajectory_dimensions), number, np.float32)
    return ismrmrd.Acquisition.from_array(data, trajectory, scan_counter=number, sample_time_us=2.5)


def image(value: float, dtype=np.float32, shape=(1, 1, 4, 6), **header) -> ismrmrd.Image:
    made = ismrmrd.Image.from_array(np.full(shape, value, dtype), transpose=False, **header)
    made.meta = {"kband_method": "SENSE", "note": f"Größe {value}"}
    return made


def problem_of(call, *arguments) -> str:
    with pytest.raises(FileProblem) as problem:
        call(*arguments)
    return str(problem.value)
