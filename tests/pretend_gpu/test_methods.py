"""Every method, and a whole training, on a GPU: what comes out is what the CPU makes."""

import pytest
import torch

from kband_core.training.trainer import train
from tests.gpu.every_method import EQUAL, reconstructed
from tests.laws import nmse
from tests.training.tiny import tiny_recipe

FROM_THE_ADJOINT = ("SENSE", "network", "gradient")


@pytest.mark.parametrize("name", EQUAL)
def test_a_method_is_the_same(name, request):
    """The same operations in the same order: not one bit differs. But for what starts from Aᴴy: a GPU transforms lines
    that were left out as well."""
    on_cpu = reconstructed(name, "cpu")
    request.getfixturevalue("gpu")
    on_gpu = reconstructed(name, "cuda")
    if name.startswith(FROM_THE_ADJOINT):
        assert nmse(on_gpu, on_cpu) < 1e-10
    else:
        assert torch.equal(on_gpu, on_cpu)


def test_a_training_is_the_same(tmp_path, request):
    """Steps, average, validation, checkpoint, going on: weights as on the CPU, and files that a CPU reads."""
    first, whole = (tiny_recipe(optimiser={"schedule": "constant", "steps": n}) for n in (4, 6))
    train(whole, tmp_path / "here", device="cpu", n_workers=0)
    request.getfixturevalue("gpu")
    train(first, tmp_path / "there", device="cuda", n_workers=0)
    train(whole, tmp_path / "there", device="cuda", n_workers=0, resume=True)
    here, there = (torch.load(tmp_path / name / "tiny.checkpoint", weights_only=True) for name in ("here", "there"))
    assert here["step"] == there["step"]
    for name, weights in here["network"].items():
        torch.testing.assert_close(there["network"][name], weights)
