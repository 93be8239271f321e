"""A trained network in the chain: the same image on CPU and GPU, and one where the GPU's memory does not suffice."""

import pytest
import torch

from gadgets.scan import Scan
from kband_core import reconstruct
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from tests.laws import nmse
from tests.tiny_models import save_tiny_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
BUFFER = "<classname>AcquisitionBuffer</classname>"


@pytest.fixture
def image_on(tmp_path, monkeypatch, scan):
    """The first image of the simulated scan, by the k-band pipeline on a device."""
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    save_tiny_model(tmp_path, "simulated_small")

    def image(device: str):
        xml = installed_xml("kband").replace(BUFFER, f'{BUFFER}<property name="device" value="{device}"/>')
        return next(iter(run(Pipeline.from_xml(xml), Scan.from_xml(scan[0]), scan[1], Verdict())))

    return image


def test_image_is_the_same(image_on):
    """Single precision in another order of summation, then rounding to whole pixel values: below 1e-5."""
    on_cpu, on_gpu = image_on("cpu"), image_on("cuda")
    assert on_gpu.meta["kband_method"] == "k-band simulated_small"
    assert nmse(*(torch.from_numpy(image.data.astype(float)) for image in (on_gpu, on_cpu))) < 1e-5


def test_gpu_without_memory_leaves_it_to_the_cpu(image_on, monkeypatch, caplog):
    """Slower, said so in the log, and no fallback."""
    network = reconstruct.network_sets

    def full(kspace, *rest):
        if kspace.is_cuda:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return network(kspace, *rest)

    monkeypatch.setattr(reconstruct, "network_sets", full)
    assert image_on("cuda").meta["kband_fallback"] == "no"
    assert any("not enough memory" in message for message in caplog.messages)
