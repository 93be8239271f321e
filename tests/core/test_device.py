"""Where things are computed, and on how many threads."""

import pytest
import torch

from kband_core.device import choose_device
from kband_core.threads import single_thread


def test_auto_takes_what_is_there():
    """A GPU if there is one, else the CPU."""
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_missing_gpu_is_named():
    """The device and the number found."""
    with pytest.raises(ValueError, match=rf"^no device 'cuda:99': {torch.cuda.device_count()} CUDA devices found$"):
        choose_device("cuda:99")


def test_threads_come_back():
    """One inside, as many as before outside, also after an exception."""
    before = torch.get_num_threads()
    inside = []

    def work() -> None:
        with single_thread():
            inside.append(torch.get_num_threads())
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert inside == [1]
    assert torch.get_num_threads() == before
