"""Which threads compute."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from kband_core.operators import encoding_operator
from kband_core.sampling import Grid
from kband_core.threads import _compute_alone, side_by_side, single_thread, usable_threads


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


def test_parts_may_take_the_threads_that_products_leave():
    """Inside `single_thread` as many as outside, however deep; a thread that computes alone has no others."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with single_thread(), single_thread():
            assert (torch.get_num_threads(), usable_threads()) == (1, 3)
            with ThreadPoolExecutor(1, initializer=_compute_alone) as alone:
                assert alone.submit(usable_threads).result() == 1
        assert usable_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_parts_come_back_in_order(n_threads):
    """However many threads compute seven of them."""
    assert side_by_side(lambda part: part * part, range(7), n_threads) == [0, 1, 4, 9, 16, 25, 36]


def test_each_part_is_computed_on_one_thread():
    """Two parts that meet: on two threads, each of which torch gives no others."""
    meeting = threading.Barrier(2, timeout=60)

    def met(_: int) -> int:
        meeting.wait()
        return torch.get_num_threads()

    assert side_by_side(met, range(2), 2) == [1, 1]


def test_a_thread_stays_alone_whatever_others_set():
    """Torch keeps one number for all threads, and a thread takes it at its first use, unless it was used before."""
    n_threads = torch.get_num_threads()
    with ThreadPoolExecutor(1, initializer=_compute_alone) as waiting:
        waiting.submit(int).result()
        try:
            torch.set_num_threads(3)
            assert waiting.submit(torch.get_num_threads).result() == 1
        finally:
            torch.set_num_threads(n_threads)


@pytest.mark.parametrize("broken", [0, 3])
def test_an_error_in_any_part_is_raised(broken):
    """In the thread that asks, or in another."""
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda part: 1 / (part - broken), range(4), 2)


@pytest.mark.parametrize("last", [1, 12])
def test_a_scan_looks_the_same_on_any_number_of_threads(last, rng):
    """Columns of whole lines bit for bit; sums over coils to rounding."""
    csm, image = (torch.randn(n, 16, 12, dtype=torch.complex64, generator=rng) for n in (5, 1))
    sampling = Grid(torch.rand(16, last, generator=rng) > 0.5)
    n_threads, made = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            operator = encoding_operator(sampling, csm[None])
            made.append((operator.normal(image), operator.adjoint(csm)))
    finally:
        torch.set_num_threads(n_threads)
    for normal, adjoint in made[1:]:
        tolerance = 0 if last == 1 else 1e-6
        torch.testing.assert_close(normal, made[0][0], rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(adjoint, made[0][1], rtol=tolerance, atol=tolerance)
