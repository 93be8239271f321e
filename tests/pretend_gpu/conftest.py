"""A GPU that no machine needs."""

from collections import Counter
from collections.abc import Iterator

import pytest

from kband_core import device as device_module
from kband_core.networks import modl
from tests.pretend_gpu.device import pretend_gpu


@pytest.fixture
def gpu() -> Iterator[Counter[str]]:
    """A pretended GPU for the length of a test; where the host waited for it."""
    with pretend_gpu() as waits:
        yield waits


@pytest.fixture
def float32(monkeypatch) -> None:
    """No bfloat16, which this CPU may have: the pretended card has none."""
    monkeypatch.setattr(device_module, "computes_bfloat16", lambda _: False)
    assert modl.in_bfloat16 is device_module.in_bfloat16
