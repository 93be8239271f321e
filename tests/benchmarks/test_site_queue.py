"""The simulation of a site's queue agrees with what is known in closed form."""

import numpy as np
import pytest

from benchmarks.site_queue import ScanType, erlang_c, simulate, waits_longer


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_erlang_c_is_that_of_tables():
    """One server: the load itself. Two servers at a load of 1: 1/3. Ten at 8: 0.409."""
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert erlang_c(10, 8.0) == pytest.approx(0.409, abs=5e-4)


@pytest.mark.parametrize(("n_workers", "load"), [(1, 0.6), (3, 2.0)])
def test_the_queue_is_m_m_c(generator, n_workers, load):
    """Scans without acquisition, exponential reconstruction: 100,000 scans, waiting shares to 0.015.

    Waits of neighbours go together over some tens of scans, so as many are worth some thousands: 1 SD is below 0.007.
    """
    service = 10.0
    scans = ScanType("any", 1, 3600 * load / service, 0.0, service, spread=1.0)
    served = simulate([scans], n_workers, 100_000 / scans.per_hour, generator)
    for seconds in (0.0, 5.0, 20.0):
        expected = waits_longer(seconds, n_workers, load, service)
        assert (served.waited > seconds).mean() == pytest.approx(expected, abs=0.015)
    assert served.latency.mean() == pytest.approx(
        service * (1 + erlang_c(n_workers, load) / (n_workers - load)), rel=0.04
    )


def test_a_lonely_scan_waits_for_its_reconstruction_alone(generator):
    """One scan an hour of a minute, 2 s behind it: nobody is in its way."""
    scans = ScanType("brain", 256, 1.0, 60.0, 2.0)
    served = simulate([scans], 4, 50.0, generator, scheduled=True)
    assert served.latency == pytest.approx(2.0)


def test_scans_that_find_no_room_are_refused(generator):
    """One worker, one connection: what comes while a scan runs (Erlang B with one server, a/(1 + a)) is refused."""
    scans = ScanType("brain", 256, 60.0, 50.0, 10.0)
    served = simulate([scans], 1, 500.0, generator, connections=1)
    assert (~served.is_served).mean() == pytest.approx(0.5, abs=0.02)  # of 30,000, 1 SD is 0.003
