"""The same pixels on CPU and GPU."""

import pytest
import torch

from tests.gpu.every_method import EQUAL, reconstructed
from tests.laws import nmse

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("name", EQUAL)
def test_reconstruction_is_the_same(name):
    """Single precision in another order of summation, or what the method makes of it."""
    assert nmse(reconstructed(name, "cuda"), reconstructed(name, "cpu")) < EQUAL[name][1]
