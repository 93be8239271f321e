"""Whatever a server does, the client ends with what it received and one sentence."""

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import ismrmrd
import numpy as np
import pytest

from gadgets.errors import PipelineError, ScanError
from pipelines.hosts.client import Client, Target
from pipelines.hosts.messages import text_of
from pipelines.hosts.server import Server, Settings
from pipelines.hosts.wire import Id, Message, Wire, WireError
from pipelines.mrd_file import FileProblem, read_images, write_raw
from pipelines.pipeline import installed_xml
from pipelines.run import Verdict
from tests.command import kband
from tests.pipelines.mrd_samples import line
from tests.streaming import bytes_by_hand as by_hand

IMAGE = by_hand.image(np.arange(12, dtype="<f4").reshape(1, 1, 3, 4), 5)
N_LINES = 20
LONG_SCAN = 3000  # lines of 1 MB: no socket's buffer holds them


@contextlib.contextmanager
def peer(behave: Callable[[Wire], None], **options) -> Iterator[Target]:
    """Stand in for a server that serves one connection as `behave` does, and hangs up."""
    listener = socket.create_server(("localhost", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        connection.settimeout(20)
        with connection, contextlib.suppress(OSError):
            behave(Wire(connection))
            connection.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener:
        yield Target("localhost", listener.getsockname()[1], **{"name": "sense", "deadline": 10.0, **options})
        thread.join(20)
        assert not thread.is_alive()


def outcome(target: Target, lines=None) -> tuple[int, str | None, Verdict, list[str]]:
    """Send a scan; return how many images came, the sentence, the verdict, and the texts."""
    verdict, heard, images, problem = Verdict(), [], [], None
    lines = map(line, range(N_LINES)) if lines is None else lines
    try:
        for image in Client(target, heard.append).run("<ismrmrdHeader/>", lines, verdict):
            images.append(image)
    except ScanError as error:
        problem = str(error)
    assert verdict.n_images == len(images)
    assert (verdict.latency is not None) == bool(images)
    return len(images), problem, verdict, heard


def to_close(wire: Wire) -> list[Message]:
    """Read the whole scan."""
    messages = [wire.read()]
    while messages[-1].id != Id.CLOSE:
        messages.append(wire.read())
    return messages


def answer(*pieces: bytes, reads: bool = True) -> Callable[[Wire], None]:
    """Make a server that sends these bytes, behind the client's CLOSE or at once."""

    def behave(wire: Wire) -> None:
        if reads:
            to_close(wire)
        wire.socket.sendall(b"".join(pieces))
        if not reads:
            to_close(wire)

    return behave


def heavy_lines(taken: list[int], most: int = LONG_SCAN) -> Iterator[ismrmrd.Acquisition]:
    """Yield lines of 1 MB; `taken` counts them."""
    heavy = ismrmrd.Acquisition.from_array(np.zeros((16, 8192), np.complex64))
    for _ in range(most):
        taken.append(1)
        yield heavy


def test_scan_goes_out_in_order_and_images_come_back():
    """Configuration, header, lines, CLOSE; nothing is wrong then."""
    messages = []

    def behave(wire: Wire) -> None:
        messages.extend(to_close(wire))
        wire.socket.sendall(IMAGE + IMAGE + by_hand.CLOSE)

    with peer(behave) as target:
        n_images, problem, verdict, heard = outcome(target)
    assert (n_images, problem, heard, verdict.flaw, verdict.n_lines) == (2, None, [], None, N_LINES)
    assert [message.id for message in messages] == [Id.CONFIG_FILE, Id.HEADER, *[Id.ACQUISITION] * N_LINES, Id.CLOSE]
    sent = b"".join(message.id.to_bytes(2, "little") + message.body for message in messages[:2])
    assert sent == by_hand.config_file("sense") + by_hand.text(3, b"<ismrmrdHeader/>")
    assert messages[2].body == b"".join((bytes(line(0).getHead()), line(0).data.tobytes()))


def test_fire_wants_its_texts_with_a_nul_and_parameters_behind_the_header():
    """Its scanner's client sends them so."""
    messages = []

    def behave(wire: Wire) -> None:
        messages.extend(to_close(wire))
        wire.socket.sendall(IMAGE + by_hand.CLOSE)

    parameters = {"SenseRecon.n_iterations": "3"}
    with peer(behave, name="", xml="<configuration/>", dialect="fire", parameters=parameters) as target:
        assert outcome(target)[1] is None
    config, header, text = messages[:3]
    assert (config.id, header.id, text.id) == (Id.CONFIG_TEXT, Id.HEADER, Id.TEXT)
    assert all(bytes(message.parts[-1])[-1:] == b"\0" for message in (config, header, text))
    assert (text_of(config), text_of(header)) == ("<configuration/>", "<ismrmrdHeader/>")
    assert json.loads(text_of(text)) == {"parameters": parameters}


def test_gadgetron_is_not_told_parameters():
    """It would drop them without a word."""
    with pytest.raises(PipelineError, match="parameters are a message of the dialect fire"):
        Target("localhost", 9002, "sense", parameters={"SenseRecon.n_iterations": "3"})


CLOSED = "no CLOSE came: peer closed while a message number was read: 0 of 2 bytes"
BAD_IMAGE = by_hand.image(np.zeros((1, 1, 2, 2), "<f4"), 5, b"no XML")


@pytest.mark.parametrize(
    ("pieces", "n_images", "sentence"),
    [
        ((IMAGE,), 1, CLOSED),
        ((), 0, CLOSED),
        ((IMAGE, IMAGE[:-5]), 1, "no CLOSE came: peer closed while an image was read: 43 of 48 bytes"),
        ((IMAGE, struct.pack("<H", 1018)), 1, "no CLOSE came: message number 1018 is unknown; "),
        ((IMAGE, b"\xff\xfe" * 100), 1, "no CLOSE came: message number 65279 is unknown; "),
        ((IMAGE, b"GET / HTTP/1.1\r\n\r\n"), 1, "no CLOSE came: message number 17735 is unknown; "),
        ((IMAGE, by_hand.acquisition(np.zeros((2, 3))), IMAGE, by_hand.CLOSE), 2, "the server sent message 1008, "),
        ((IMAGE, by_hand.error(b"no memory"), IMAGE, by_hand.CLOSE), 2, "no memory"),
        ((by_hand.error(b""), by_hand.CLOSE), 0, "the server told of an error without a word"),
        ((IMAGE, by_hand.text(5, b"ERROR   the\n\tgpu is gone"), by_hand.CLOSE), 1, "the gpu is gone"),
        ((by_hand.text(5, b"CRITICAL  first", nul=True), by_hand.text(5, b"ERROR second"), by_hand.CLOSE), 0, "first"),
        ((IMAGE, by_hand.text(5, b"map::at"), by_hand.CLOSE), 1, "map::at"),
        ((BAD_IMAGE, IMAGE, by_hand.CLOSE), 1, "an image cannot be read: an image has attributes"),
        ((struct.pack("<HQ", 8, 1 << 40),), 0, "no CLOSE came: an error of 1,099,511,627,776 bytes announced, "),
    ],
)
def test_server_that_misbehaves_after_the_scan(pieces, n_images, sentence):
    """Images that came are kept; what was wrong first is the sentence."""
    with peer(answer(*pieces)) as target:
        got, problem, verdict, _ = outcome(target)
    assert got == n_images
    assert problem.startswith(sentence)
    assert verdict.n_lines == N_LINES


def test_texts_are_heard_as_they_are():
    """Levels that tell of no failure are no failure, and control characters do not reach a terminal."""
    texts = ("INFO    begun", "WARNING slice 1: late", "DBG x", "INFO    \x1b[2Jred")
    pieces = [by_hand.text(5, text.encode(), nul=True) for text in texts]
    with peer(answer(*pieces, by_hand.response(b"4.7.2"), IMAGE, by_hand.CLOSE)) as target:
        _, problem, _, heard = outcome(target)
    assert problem is None
    assert heard == [*texts[:3], "INFO    �[2Jred"]


def test_errors_are_heard_with_their_level():
    """An ERROR message and an ERROR text look alike to who reads the screen."""
    with peer(answer(by_hand.text(5, b"ERROR   one"), by_hand.error(b"two"), by_hand.CLOSE)) as target:
        assert outcome(target)[3] == ["ERROR   one", "ERROR   two"]


def test_fire_server_may_send_texts_without_a_level():
    """Only Gadgetron means an error by any text."""
    with peer(answer(by_hand.text(5, b"hello"), IMAGE, by_hand.CLOSE), dialect="fire") as target:
        assert outcome(target)[1] is None


def test_images_come_while_lines_go():
    """A server that sends before it has read all is heard at once: neither waits for the other."""
    taken = []

    def behave(wire: Wire) -> None:
        for _ in range(3):
            wire.read()
        wire.socket.sendall(IMAGE * 50_000)  # 21 MB: blocks until somebody reads
        to_close(wire)
        wire.socket.sendall(by_hand.CLOSE)

    with peer(behave) as target:
        n_images, problem, _, _ = outcome(target, heavy_lines(taken, 30))
    assert (n_images, problem, len(taken)) == (50_000, None, 30)


@pytest.mark.parametrize("farewell", [b"", by_hand.CLOSE, IMAGE + by_hand.CLOSE])
def test_sending_stops_when_the_server_has_closed(farewell):
    """Nobody reads the rest of the scan."""
    taken = []

    def behave(wire: Wire) -> None:
        for _ in range(5):
            wire.read()
        wire.socket.sendall(farewell)

    with peer(behave) as target:
        n_images, problem, verdict, _ = outcome(target, heavy_lines(taken))
    assert n_images == farewell.startswith(IMAGE)
    assert "no CLOSE came" in problem if not farewell else "before the last was sent" in problem
    assert verdict.n_lines <= len(taken) < LONG_SCAN / 10


def test_sleeping_source_wakes_when_the_server_has_closed():
    """A paced scan may be about to wait for seconds."""
    started = time.monotonic()
    with peer(answer(by_hand.CLOSE, reads=False)) as target:
        client = Client(target)

        def slow() -> Iterator[ismrmrd.Acquisition]:
            yield line(0)
            client.closed.wait(60)
            yield line(1)

        with pytest.raises(ScanError, match="closed after 1 lines, before the last was sent"):
            list(client.run("<ismrmrdHeader/>", slow(), Verdict()))
    assert time.monotonic() - started < 30


def test_connection_that_is_reset():
    """What a crashed server leaves; images before it are kept."""

    def behave(wire: Wire) -> None:
        to_close(wire)
        wire.socket.sendall(IMAGE)
        time.sleep(0.2)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()

    with peer(behave) as target:
        n_images, problem, _, _ = outcome(target)
    assert (n_images, problem) == (1, CLOSED)


def test_silence_after_the_last_line_ends():
    """A server that hangs is given up; one that speaks now and then is not."""

    def behave(wire: Wire) -> None:
        to_close(wire)
        for _ in range(4):
            time.sleep(0.3)  # all together longer than the deadline
            wire.socket.sendall(by_hand.text(5, b"INFO    still here"))
        wire.socket.sendall(IMAGE)
        with contextlib.suppress(WireError):
            wire.read()

    with peer(behave, deadline=1.0) as target:
        n_images, problem, _, heard = outcome(target)
    assert (n_images, len(heard)) == (1, 4)
    assert problem == f"the server was silent for 1 s, after {N_LINES} lines"


def test_server_that_takes_no_data_ends():
    """Its buffers fill, and nothing moves any more."""
    gone = threading.Event()

    def behave(_: Wire) -> None:
        gone.wait(20)

    taken = []
    with peer(behave, deadline=0.5) as target:
        n_images, problem, _, _ = outcome(target, heavy_lines(taken))
        gone.set()
    assert n_images == 0
    assert problem.startswith("the server took no data for 0.5 s, after ")
    assert len(taken) < LONG_SCAN / 10


def test_server_that_accepts_slowly_is_waited_for():
    """The deadline bounds silence, not slowness: a line that dribbles away for longer is no failure."""

    def behave(wire: Wire) -> None:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        for _ in range(8):
            time.sleep(0.2)
            wire.read()
        to_close(wire)
        wire.socket.sendall(IMAGE + by_hand.CLOSE)

    with peer(behave, deadline=1.0) as target:
        assert outcome(target, heavy_lines([], 20))[1] is None


def test_nobody_listens():
    """The sentence says where."""
    with socket.create_server(("localhost", 0)) as listener:
        port = listener.getsockname()[1]
    assert outcome(Target("localhost", port))[1] == f"no connection to localhost:{port} (Connection refused)"
    assert outcome(Target("no..name", 1))[1].startswith("no connection to no..name:1 (")


@pytest.mark.parametrize("problem", [FileProblem("scan.h5: line 3 has 5 values"), OSError(5, "Input/output error")])
def test_file_that_breaks_while_it_is_read(problem):
    """The caller hears it, not the server's reaction; the server gets no CLOSE for half a scan."""
    ending = []

    def behave(wire: Wire) -> None:
        try:
            to_close(wire)
        except WireError as error:
            ending.append(error)

    def broken() -> Iterator[ismrmrd.Acquisition]:
        yield line(0)
        raise problem

    with peer(behave) as target, pytest.raises(type(problem)) as raised:
        list(Client(target).run("<ismrmrdHeader/>", broken(), Verdict()))
    assert raised.value is problem
    assert len(ending) == 1


def test_caller_that_stops_ends_the_connection():
    """A full disk, or Ctrl-C: no thread stays behind."""
    n_threads = threading.active_count()
    with peer(answer(IMAGE, reads=False)) as target:
        images = Client(target).run("<ismrmrdHeader/>", heavy_lines([]), Verdict())
        next(images)
        images.close()
    assert threading.active_count() == n_threads


def test_slow_caller_is_not_the_servers_silence():
    """Writing an image may take longer than the deadline."""
    with peer(answer(IMAGE, IMAGE, by_hand.CLOSE), deadline=0.3) as target:
        n_images = 0
        for _ in Client(target).run("<ismrmrdHeader/>", map(line, range(3)), Verdict()):
            n_images += 1
            time.sleep(0.5)
    assert n_images == 2


def test_latency_counts_from_the_last_line():
    """The image comes 0.3 s after CLOSE, however long the lines took."""

    def behave(wire: Wire) -> None:
        to_close(wire)
        time.sleep(0.3)
        wire.socket.sendall(IMAGE + by_hand.CLOSE)

    def slow() -> Iterator[ismrmrd.Acquisition]:
        yield line(0)
        time.sleep(3.0)
        yield line(1)

    with peer(behave) as target:
        _, _, verdict, _ = outcome(target, slow())
    assert 0.3 <= verdict.latency < 3.0


class Journal:
    """Keeps nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def append(self, message: Message) -> None:
        pass

    def end(self, verdict: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where our own server listens."""
    server = Server(Settings(port=0, n_workers=1), Journal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.port
    server.stop(10)


@pytest.fixture(scope="module")
def head(tmp_path_factory, scan):
    """The simulated scan as a raw file, and what replaying it in process gives."""
    folder = tmp_path_factory.mktemp("head")
    write_raw(folder / "scan.h5", scan[0], scan[1], reference=scan[2])
    result = kband("replay", folder / "scan.h5", "-o", folder / "here.h5")
    assert result.exit_code == 0, result.output
    return folder / "scan.h5", read_images(folder / "here.h5")


def replay_to(port: int, raw, output, *options) -> tuple[object, list[np.ndarray]]:
    """Replay through our server; what the command said, and the pixels by slice."""
    result = kband("replay", raw, "-o", output, "--to", f"localhost:{port}", *options)
    images = sorted(read_images(output), key=lambda image: image.slice) if output.exists() else []
    return result, [image.data for image in images]


@pytest.mark.parametrize("dialect", ["gadgetron", "fire"])
@pytest.mark.parametrize("pipeline", ["sense", "sense.xml", "text"])
def test_our_server_gives_the_images_of_a_replay_in_process(port, head, tmp_path, dialect, pipeline):
    """One chain, two roads: pixels are equal, whether the pipeline is named or sent as text."""
    raw, expected = head
    (tmp_path / "text.xml").write_text(installed_xml("sense"))
    name = tmp_path / "text.xml" if pipeline == "text" else pipeline
    result, pixels = replay_to(port, raw, tmp_path / "there.h5", "--dialect", dialect, "-p", name)
    assert result.exit_code == 0, result.output
    assert "2 images in" in result.output
    assert "INFO    scan " in result.output  # what the server says is shown
    assert result.output.count("against the reference") == 2
    assert len(pixels) == len(expected) == 2
    assert all(np.array_equal(mine, image.data) for mine, image in zip(pixels, expected, strict=True))


def test_parameters_mean_the_same_here_and_there(port, head, tmp_path):
    """A property set by the server or in process: the images are equal, and not those without it."""
    raw, plain = head
    parameter = ("--parameter", "CoilCompression.n_coils=2")
    here = kband("replay", raw, "-o", tmp_path / "here.h5", *parameter)
    assert here.exit_code == 0, here.output
    result, pixels = replay_to(port, raw, tmp_path / "there.h5", "--dialect", "fire", *parameter)
    assert result.exit_code == 0, result.output
    for mine, other, without in zip(pixels, read_images(tmp_path / "here.h5"), plain, strict=True):
        assert np.array_equal(mine, other.data)
        assert not np.array_equal(mine, without.data)


def test_servers_error_fails_the_replay(port, head, tmp_path):
    """Our server tells clients by a text; it is shown and is the reason for exit code 1."""
    result, pixels = replay_to(port, head[0], tmp_path / "there.h5", "-p", "sens")
    assert result.exit_code == 1
    assert "ERROR   no pipeline 'sens'; installed are" in result.output
    assert "scan.h5: no pipeline 'sens'; installed are" in result.output
    assert not pixels


def test_wrong_parameter_is_named(port, head, tmp_path):
    """By the worker that builds the chain, and by the command for a gadget that is not there."""
    bad = ("--dialect", "fire", "--parameter", "SenseRecon.speed=11")
    result, _ = replay_to(port, head[0], tmp_path / "there.h5", *bad)
    assert result.exit_code == 1
    assert "speed" in result.output
    result = kband("replay", head[0], "-o", tmp_path / "here.h5", "--parameter", "Sense.speed=11")
    assert result.exit_code == 1
    assert "no gadget 'Sense' in the pipeline; it has NoiseAdjustGadget, " in result.output


def test_missing_lines_fail_the_replay(port, scan, tmp_path):
    """The image comes, marked as incomplete, and the exit code tells."""
    write_raw(tmp_path / "short.h5", scan[0], scan[1][: len(scan[1]) - 6])
    result, pixels = replay_to(port, tmp_path / "short.h5", tmp_path / "there.h5")
    assert result.exit_code == 1
    assert "incomplete" in result.output
    assert pixels


@pytest.mark.parametrize("where", ["here", "there"])
def test_scanner_pace(port, scan, tmp_path, where):
    """A line each 5 ms: the n-th is not sent before 5·(n-1) ms. How much later depends on the machine."""
    lines = scan[1][:41]
    write_raw(tmp_path / "short.h5", scan[0], lines)
    road = ("--to", f"localhost:{port}") if where == "there" else ()
    started = time.monotonic()
    result = kband("replay", tmp_path / "short.h5", "-o", tmp_path / "images.h5", "--pace", "scanner", *road)
    assert time.monotonic() - started >= 0.200
    assert "incomplete" in result.output


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--to", "localhost"), "'localhost' is no HOST:PORT"),
        (("--to", "localhost:99999"), "'localhost:99999' is no HOST:PORT"),
        (("--parameter", "n_iterations=3"), "is no GADGET.PROPERTY=VALUE"),
        (("--to", "localhost:1", "--parameter", "a.b=3"), "parameters are a message of the dialect fire"),
        (("--to", "localhost:1"), "no connection to localhost:1 ("),
    ],
)
def test_options_that_cannot_be(head, tmp_path, options, sentence):
    """One sentence, before anything is computed."""
    result = kband("replay", head[0], "-o", tmp_path / "images.h5", *options)
    assert result.exit_code != 0
    assert sentence in " ".join(result.output.split())
