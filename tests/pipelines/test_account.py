"""`kband replay -v`: what the scan was made of, and where its time went."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import ismrmrd
import numpy as np
import pytest

from gadgets.gadget import Gadget
from pipelines.chain import clock, run
from pipelines.chain.account import Account
from pipelines.chain.pipeline import Pipeline
from pipelines.chain.verdict import Seconds, Verdict
from pipelines.files.mrd_file import write_raw
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.command import kband


class Time:
    """A clock that goes on when it is told to."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch):
    time = Time()
    for module in (clock, run):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=time.perf_counter))
    return time


def works(name: str, time: Time, each: float, at_the_end: float) -> Gadget:
    """A gadget that takes its time for every line, and some more when the last one has gone."""

    @dataclass
    class Works(Gadget):
        accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
        emits: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)

        def process(self, lines):
            for line in lines:
                time.now += each
                yield line
            time.now += at_the_end

        @classmethod
        def label(cls) -> str:
            return name

    return Works()


def test_time_is_told_by_gadget_and_from_the_last_line_on(time, simulated):
    """Three lines, read in 1 s each: what comes after the third one counts twice, the reading of it does not."""

    def read():
        for line in simulated[1][:3]:
            time.now += 1
            yield line
        time.now += 0.25

    verdict = Verdict()
    chain = Pipeline([works("first", time, 2, 10), works("second", time, 4, 20)])
    list(run._run(chain, read(), verdict, hear=print, lock=None, account=None))
    assert verdict.seconds == {
        "reading": Seconds(0.25, 3.25), "first": Seconds(2 + 10, 6 + 10), "second": Seconds(4 + 20, 12 + 20),
    }  # fmt: skip


@pytest.fixture(scope="module")
def simulated():
    """Sixteen coils, R=2 with sixteen calibration lines: 24 of 32 rows are acquired."""
    return simulate_scan(Protocol(matrix=32, n_coils=16, n_slices=1, acceleration=2, acs_lines=16))


@pytest.fixture
def raw(tmp_path, simulated):
    write_raw(tmp_path / "scan.h5", *simulated[:2])
    return tmp_path / "scan.h5"


@pytest.mark.parametrize("arguments", [("replay", "-v"), ("-v", "replay")])
def test_verbose_tells_what_the_scan_was_made_of(arguments, raw, tmp_path):
    """R as acquired, calibration lines, coils before and after compression; a row for each gadget."""
    told = kband(*arguments, raw, "-o", tmp_path / "images.h5").output
    assert "\n  R = 1.33 with calibration lines counted, 16 calibration lines, 16 coils, 12 after compression\n" in told
    rows = [line.split() for line in told.splitlines() if line.startswith("  ")]
    named = [row[0] for row in rows if len(row) == 3]
    assert [name for name in named if name in ("reading", "CoilCompression", "SenseRecon")] == [
        "reading", "CoilCompression", "SenseRecon"
    ]  # fmt: skip


def test_what_is_not_asked_for_is_not_told(raw, tmp_path):
    """One line is enough for most."""
    assert "calibration lines" not in kband("replay", raw, "-o", tmp_path / "images.h5").output


def test_one_coil_is_one_coil():
    """And a chain that compresses nothing does not say so."""
    account = Account()
    for place in (0, 1):
        account.see(place, ismrmrd.Acquisition.from_array(np.ones((1, 8), np.complex64)))
    assert list(account.text(Verdict())) == ["1 coil"]
