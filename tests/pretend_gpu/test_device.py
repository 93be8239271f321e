"""The pretence itself: a GPU that lets everything pass would prove nothing."""

import copy
import threading

import pytest
import torch

from tests.pretend_gpu.device import CUDA


def test_tensors_say_that_they_are_there(gpu):
    """However they came: moved, made there, or made of others."""
    made = torch.ones(3, device="cuda"), torch.ones(3).to("cuda"), torch.ones(3).cuda()[1:] * 2
    assert all(tensor.device == CUDA and tensor.is_cuda for tensor in made)
    assert made[2].tolist() == [2, 2]
    assert torch.ones(3).device.type == made[0].cpu().device.type == "cpu"


@pytest.mark.parametrize("mix", [
    lambda here, there: here + there,
    lambda here, there: torch.stack([here, there]),
    lambda here, there: there.index_add_(0, torch.tensor([0, 1]).cuda(), here),
    lambda here, there: torch.where(there > 0, here, there),
    lambda here, there: there[0].long() + torch.arange(2),
])  # fmt: skip
def test_mixing_raises(gpu, mix):
    """As on a real one, also a number that lies there with a vector that lies here."""
    with pytest.raises(RuntimeError, match="same device"):
        mix(torch.ones(2), torch.ones(2, device="cuda"))


def test_numbers_may_be_mixed(gpu):
    """Of one value without an axis torch takes care, and of indices that lie here."""
    there = torch.ones(3, device="cuda") * torch.tensor(2.0)
    assert there[torch.tensor([0, 2])].tolist() == [2, 2]


@pytest.mark.parametrize(("ask", "n_waits"), [
    (lambda there: float(there.sum()), 1),
    (lambda there: bool((there > 0).all()), 1),
    (lambda there: there.nonzero(), 1),
    (lambda there: there[there > 0], 1),
    (lambda there: there.cpu(), 1),
    (lambda there: torch.equal(there, there), 1),
    (lambda there: there[[0, 1]], 1),
    (lambda there: torch.tensor([1.0]).to(there.device), 1),
    (lambda there: there[:2] * 3 + there.sum(), 0),
    (lambda there: there[torch.arange(2, device="cuda")], 0),
    (lambda there: torch.where(there > 0, there, 0), 0),
])  # fmt: skip
def test_waits_are_counted(gpu, ask, n_waits):
    """What needs a value, a shape that depends on values, or memory of the host; not what is queued."""
    there = torch.ones(3, device="cuda")
    gpu.clear()
    ask(there)
    assert sum(gpu.values()) == n_waits


def test_derivatives_lie_there(gpu):
    """In a module that was moved, through functions of our own, and in a copy."""
    module = copy.deepcopy(torch.nn.Linear(3, 2).to("cuda"))
    module(torch.ones(3, device="cuda")).square().sum().backward()
    assert all(parameter.is_cuda and parameter.grad.is_cuda for parameter in module.parameters())


def test_other_threads_see_it(gpu):
    """Images are made in a thread of their own."""
    made = []
    thread = threading.Thread(target=lambda: made.append(torch.zeros(2, device="cuda")))
    thread.start()
    thread.join()
    assert made[0].is_cuda


def test_memory_there_is_none_of_numpy(gpu):
    """Who needs numbers must fetch them."""
    with pytest.raises(TypeError, match="can't convert cuda:0"):
        torch.ones(2, device="cuda").numpy()
