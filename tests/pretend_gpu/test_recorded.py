"""What a GPU has recorded, it computes again for other numbers, and nobody can tell the difference."""

import pytest
import torch

from kband_core import recorded
from kband_core.networks import Modl
from kband_core.patterns import equispaced_lines
from kband_core.reconstruct import Given, network_sets, record_sense, sense_sets
from kband_core.sampling import Grid
from tests.pretend_gpu.chains import images

SHAPE, COILS = (24, 20), 3


@pytest.fixture(autouse=True)
def _nothing_known(gpu):
    recorded.forget()
    yield
    recorded.forget()


@pytest.fixture
def replays(monkeypatch):
    """What was replayed; to be cleared of those replays that try a recording out."""
    count = []
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: count.append(graph) or replay(graph))
    return count


def planes(seed: int, acceleration: int, n_planes: int = 1) -> tuple[torch.Tensor, Grid, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    lines = equispaced_lines(SHAPE[0], acceleration, acs_lines=8)
    kspace = torch.randn(n_planes, COILS, *SHAPE, dtype=torch.complex64, generator=rng) * lines.mask
    csm = torch.randn(n_planes, 1, COILS, *SHAPE, dtype=torch.complex64, generator=rng)
    return kspace.cuda(), lines.to(torch.device("cuda")), csm.cuda()


def small_network() -> Modl:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Modl(unrolls=2, denoiser="multiscale", channels=4, wide=4, blocks=1, shared=False, start="sense")
        for denoiser in model.denoisers:
            torch.nn.init.normal_(denoiser.tail.weight, std=0.1)
    return model.to("cuda").eval()


def test_sense_of_another_scan_by_the_recording_of_one(replays):
    """Other lines, other maps, other samples: equal to the last bit, and the first recording is the only one."""
    settings = {"regularisation": 0.01, "n_iterations": 5}
    scans = [planes(1, 2), planes(2, 3)]
    wanted = [sense_sets(*scan, **settings).cpu() for scan in scans]
    for scan in scans:
        record_sense(*scan, **settings)
    replays.clear()
    for scan, one in zip(scans, wanted, strict=True):
        assert torch.equal(sense_sets(*scan, **settings).cpu(), one)
    assert len(replays) == 2
    assert replays[0] is replays[1]


def test_what_is_given_out_stays(replays):
    """The next image is made in the same memory; the one before is somebody's by then."""
    settings, scans = {"regularisation": 0.01, "n_iterations": 3}, [planes(1, 2), planes(2, 2)]
    record_sense(*scans[0], **settings)
    replays.clear()
    first = sense_sets(*scans[0], **settings)
    before = first.cpu().clone()
    sense_sets(*scans[1], **settings)
    assert len(replays) == 2
    assert torch.equal(first.cpu(), before)


@pytest.mark.parametrize("changed", ["settings", "planes", "derivatives"])
def test_what_was_not_recorded_is_computed(replays, changed):
    settings, scan = {"regularisation": 0.01, "n_iterations": 3}, planes(1, 2)
    record_sense(*scan, **settings)
    replays.clear()
    if changed == "settings":
        settings["regularisation"] = 0.02
    elif changed == "planes":
        scan = planes(1, 2, n_planes=2)
    else:
        scan[0].requires_grad_()
    assert sense_sets(*scan, **settings).requires_grad == (changed == "derivatives")
    assert not replays


def test_network_of_another_scan_by_the_recording_of_one(replays):
    """Noise and scale are other ones too."""
    model, scans = small_network(), [planes(1, 2), planes(2, 3)]
    wanted = [network_sets(*scan, model).cpu() for scan in scans]
    Given.on_grid(*scans[0]).record(model)
    replays.clear()
    for scan, one in zip(scans, wanted, strict=True):
        assert torch.equal(network_sets(*scan, model).cpu(), one)
    assert len(replays) == 2
    network_sets(*scans[0], small_network())
    assert len(replays) == 2


def test_every_guise_of_a_scan_by_the_same_recording(replays):
    model, scan = small_network(), planes(1, 2)
    wanted = network_sets(*scan, model, None, None, 4).cpu()
    Given.on_grid(*scan).record(model)
    replays.clear()
    assert torch.equal(network_sets(*scan, model, None, None, 4).cpu(), wanted)
    assert len(replays) == 4
    assert len({id(replay) for replay in replays}) == 1


def test_a_computation_that_waits_is_not_recorded(replays):
    """It is computed as ever, and why is said once."""

    def waits(x):
        return x * float(x.sum())

    x = torch.ones(2).cuda()
    assert "not permitted" in recorded.record("waits", waits, x)
    assert recorded.record("waits", waits, x) is None
    assert recorded.computed("waits", waits, x).tolist() == [2, 2]
    assert not replays


def test_a_recording_that_gives_another_result_is_not_kept(replays, monkeypatch):
    """Such as that of another GPU's stream, which records nothing."""
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: None)
    x = torch.ones(2).cuda()
    assert recorded.record("lost", lambda x: 2 * x, x) == "what was recorded gives another result"
    assert recorded.computed("lost", lambda x: 2 * x, x).tolist() == [2, 2]


def test_few_recordings_are_kept(replays):
    """The one not asked for longest goes."""
    x = torch.ones(2).cuda()
    for number in range(recorded.MOST):
        recorded.record(number, lambda x: 2 * x, x)
    recorded.computed(0, lambda x: 2 * x, x)
    recorded.record("one more", lambda x: 2 * x, x)
    replays.clear()
    recorded.computed(0, lambda x: 2 * x, x)
    assert len(replays) == 1
    recorded.computed(1, lambda x: 2 * x, x)
    assert len(replays) == 1


@pytest.mark.parametrize("chain", ["sense", "kband"])
@pytest.mark.parametrize("given_back", ["nothing", "where memory was short", "to make room for others"])
def test_what_was_lost_is_recorded_again(replays, chain, given_back):
    """At the next scan of that shape, whose first replay tries the recording out; the last one is its image."""
    images(chain, "lines", "cuda")
    if given_back == "where memory was short":
        recorded.forget()
    elif given_back == "to make room for others":
        for number in range(recorded.MOST):
            recorded.record(number, lambda x: 2 * x, torch.ones(2).cuda())
    replays.clear()
    images(chain, "lines", "cuda")
    assert len(replays) == (1 if given_back == "nothing" else 2)
