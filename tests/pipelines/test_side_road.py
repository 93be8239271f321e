"""What gadgets say aside reaches the host, and no other gadget."""

import copy
import re
import threading
from dataclasses import dataclass
from typing import ClassVar

import ismrmrd
import numpy as np
import pytest

from gadgets.gadget import Gadget
from gadgets.items import Aside
from pipelines.chain.lint import lint
from pipelines.chain.pipeline import Pipeline, neighbour_problem
from pipelines.chain.run import run
from pipelines.chain.side_road import for_the_next
from pipelines.chain.turns import Computing, Waiting
from pipelines.chain.verdict import Verdict
from pipelines.files.mrd_file import write_raw
from tests.command import kband


@dataclass
class Murmurs(Gadget):
    """Lets lines pass, and says something before and after each."""

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition, Aside)

    def process(self, lines):
        for line in lines:
            yield Aside("progress", f"before {line}")
            yield line
            yield Aside("warning", f"after {line}")


@dataclass
class Listener(Gadget):
    """Lets pass what comes, and keeps it."""

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)

    def process(self, lines):
        self.got = []
        for line in lines:
            self.got.append(line)
            yield line


@dataclass
class Collector(Listener):
    """Keeps all to the end of the scan."""

    def process(self, lines):
        yield list(lines)


def test_no_gadget_sees_what_another_said():
    """Else each would have to know items that are none of its business."""
    listener = Listener()
    assert list(run(Pipeline([Murmurs(), listener]), None, [1, 2], Verdict(), hear=lambda aside: None)) == [1, 2]
    assert listener.got == [1, 2]


@pytest.mark.parametrize("behind", [[], [Listener()], [Collector()]])
def test_it_is_heard_at_once(behind):
    """Before the next line is asked for: nothing piles up, however long the gadgets behind keep their items."""
    happened = []

    def lines():
        for number in (1, 2):
            happened.append(number)
            yield number

    hear = lambda said: happened.append(said.text)  # noqa: E731
    list(run(Pipeline([Murmurs(), *behind]), None, lines(), Verdict(), hear=hear))
    assert happened == [1, "before 1", "after 1", 2, "before 2", "after 2"]


def test_the_order_of_images_and_asides_is_kept():
    """Behind the last gadget, what was said before an image is heard before it."""
    happened = []
    for item in run(Pipeline([Murmurs()]), None, [1], Verdict(), hear=lambda said: happened.append(said.text)):
        happened.append(item)
    assert happened == ["before 1", 1, "after 1"]


def test_the_gpu_is_free_while_a_host_listens():
    """A client that takes a text slowly must not keep another scan from computing."""
    lock, was_free = threading.Lock(), []

    def hear(_: Aside) -> None:
        was_free.append(lock.acquire(blocking=False) and not lock.release())

    said = for_the_next(Computing(Murmurs().process([1]), lock), hear)
    assert list(Computing(Listener().process(Waiting(said, lock)), lock)) == [1]
    assert was_free == [True, True]


def test_a_chain_without_a_listener_logs_it(caplog):
    """Commands that show nothing still leave a trace; progress is no warning."""
    with caplog.at_level("INFO"):
        list(run(Pipeline([Murmurs()]), None, [1], Verdict()))
    said = [(record.levelname, record.message) for record in caplog.records]
    assert said == [("INFO", "before 1"), ("WARNING", "after 1")]


def test_neighbours_need_not_accept_it():
    """It is for the host; neither the chain nor its end may be refused for it."""
    assert neighbour_problem(Murmurs, Listener) is None
    chain = "<gadget><dll>d</dll><classname>Murmurs</classname></gadget>"
    findings = lint(f"<configuration><version>2</version><stream>{chain}</stream></configuration>")
    assert not [found for found in findings if "Aside" in found.sentence]


def test_its_text_is_one_bounded_line():
    """It stands on consoles of scanners: no line breaks, nothing that steers a terminal, 400 characters."""
    assert Aside("progress", "slice 3:\n  ready\t").sentence == "slice 3: ready"
    assert Aside("progress", "\x1b[2J").sentence == "\ufffd[2J"
    assert len(Aside("progress", "x" * 1_000_000).sentence) == 400


def test_what_no_host_could_pass_on_is_refused():
    """Where it is made, not where it is heard."""
    waveform = ismrmrd.Waveform.from_array(np.zeros((2, 10_000), np.uint32))
    with pytest.raises(ValueError, match=r"^aside: the waveform has 80,000 bytes, at most 65,536 are passed on$"):
        Aside("feedback", "next line", waveform)
    with pytest.raises(ValueError, match=r"^aside: kind is 'joke', expected feedback, progress, warning, decision$"):
        Aside("joke", "")


def test_replay_says_at_once_that_a_line_is_set_aside(scan, tmp_path):
    """On the screen, in one line; before, it stood in the comment of an image that came minutes later."""
    lines = copy.deepcopy(scan[1])
    lines[20].data[1, 5] = np.nan  # 16 noise readouts stand before; whitening spreads it over 4 coils of 64 samples
    write_raw(tmp_path / "scan.h5", scan[0], lines)
    result = kband("replay", tmp_path / "scan.h5", "-o", tmp_path / "images.h5")
    said = re.findall(r"WARNING .*", result.output)  # behind a bar, where the machine is slow
    where = "WARNING AcquisitionBuffer: line 4 (slice 0) set aside"
    assert said == [f"{where}: 256 of 256 samples are not finite numbers"]
