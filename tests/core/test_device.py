"""Where things are computed, and on how many threads."""

import pytest
import torch

from kband_core.device import choose_device, computes_bfloat16, planes_at_once


def test_auto_takes_what_is_there():
    """A GPU if there is one, else the CPU."""
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["meta", "cuda:99999999999999999999", "CPU", "gpu", ""])
def test_other_names_are_refused(name):
    """Also those that torch knows: nothing comes of an image on the device `meta`."""
    with pytest.raises(ValueError, match=f"^no device '{name}'; auto, cpu, cuda or cuda:N expected$"):
        choose_device(name)


def test_missing_gpu_is_named():
    """The device and the number found."""
    with pytest.raises(ValueError, match=rf"^no device 'cuda:99': {torch.cuda.device_count()} CUDA devices found$"):
        choose_device("cuda:99")


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [
        ({"architecture": "x86_64", "avx512_f": True, "avx512_bf16": True}, True),
        ({"architecture": "x86_64", "avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "arm64", "neon": True, "bf16": True}, True),
        ({"architecture": "arm64", "neon": True, "bf16": False}, False),
    ],
)
def test_bfloat16_needs_instructions_of_its_own(capabilities, native, monkeypatch):
    """AVX-512 alone has none."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert computes_bfloat16(torch.device("cpu")) is native


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_have_it_from_ampere_on(capability, native, monkeypatch):
    """Turing, Ampere, Hopper."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert computes_bfloat16(torch.device("cuda", 0)) is native


def test_a_torch_that_cannot_tell_computes_in_float32(monkeypatch):
    """Older ones know less of their CPU."""
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert computes_bfloat16(torch.device("cpu")) is False


def test_one_plane_is_always_worked_on():
    """However large it is; of small ones as many as half a GiB holds on a CPU."""
    cpu = torch.device("cpu")
    assert planes_at_once(1 << 40, cpu) == 1
    assert planes_at_once(1 << 20, cpu) == 512
