"""What is counted is told as people tell it."""

import pytest
import torch

from kband_core.calibration import espirit_maps
from kband_core.plural import counted, plural
from kband_core.whitening import noise_covariance


@pytest.mark.parametrize(("n", "told"), [(0, "0 lines"), (1, "1 line"), (2, "2 lines")])
def test_one_is_no_plural(n, told):
    """Also not of none."""
    assert counted(n, "line") == told
    assert plural(n, "line is", "lines are") == ("line is" if n == 1 else "lines are")


def test_errors_count_as_people_do():
    """Of one sample, one slice, one line."""
    with pytest.raises(ValueError, match="noise has 1 sample, at least 2 needed"):
        noise_covariance(torch.ones(2, 1, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"1 of 1 slice has only zeros in the calibration lines"):
        espirit_maps(torch.zeros(2, 24, 24, dtype=torch.complex64), (32, 32))
