"""`kband serve`: the MRD server."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

import click

from pipelines.commands.replay import address_of
from pipelines.commands.send import archive_of

LOOK_SECONDS = 0.5
STATE = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state"))


@click.command()
@click.option("--address", default="localhost", help="Address to listen on; 0.0.0.0 for all, behind a firewall only.")
@click.option("--port", type=click.IntRange(0, 65535), default=9002, help="MRD port; 0 lets the system choose.")
@click.option("--workers", type=click.IntRange(1, 64), default=2, help="Scans reconstructed at once, a process each.")
@click.option("--connections", type=click.IntRange(1, 1024), default=16, help="Scans that run or wait, at most.")
@click.option("--save", type=click.Path(path_type=Path, file_okay=False), default=STATE / "kband" / "scans",
              help="Folder that keeps every scan as it arrives, anonymised.")
@click.option("--no-save", is_flag=True, help="Keep no scans.")
@click.option("--save-gb", type=click.FloatRange(0.001), default=20.0, help="Largest size of that folder, GB.")
@click.option("--save-days", type=click.FloatRange(0.001), default=7.0, help="Longest time a scan is kept, days.")
@click.option("--save-images", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="Folder that keeps the images of every scan, within the same size and time.")  # fmt: skip
@click.option("--image-format", type=click.Choice(["mrd", "dicom", "nifti", "npy", "cfl"]), default="mrd",
              help="What they are kept as; DICOM names the patient.")  # fmt: skip
@click.option("--send-images", callback=archive_of, metavar="TITLE@HOST:PORT",
              help="Archive (PACS) that gets the DICOM images kept; it is asked until it has them.")  # fmt: skip
@click.option("--backlog-mb", type=click.FloatRange(1), default=256.0, help="Lines of a scan that may wait, MB.")
@click.option("--silence", type=click.FloatRange(0.1), default=600.0, help="End a scan whose peer is silent, s.")
@click.option("--wait", type=click.FloatRange(0.1), default=300.0, help="Longest wait for a free worker, s.")
@click.option("--deadline", type=click.FloatRange(0.1), default=120.0, help="End a worker that makes nothing, s.")
@click.option("--monitor-port", type=click.IntRange(0, 65535), default=9003, help="HTTP: /metrics /ready /health.")
@click.option("--decisions", callback=address_of, metavar="HOST:PORT",
              help="Send decisions of active acquisition there, as JSON in a UDP datagram each.")  # fmt: skip
@click.option("--page", type=click.IntRange(0, 65535), help="HTTP port of a page that shows scans and images.")
@click.option("--page-address", default="127.0.0.1", help="Where the page is; beyond this machine with a token only.")
@click.option("--page-token", envvar="KBAND_PAGE_TOKEN", help="Who knows it may see the page, and replay kept scans.")
def serve(**options: Any) -> None:
    """Serve scans: Gadgetron clients, FIRE clients, and Gadgetron's <connect>, all on one port.

    Ends on SIGTERM or Ctrl-C when the running scans have finished, at once on the second.
    """
    from pipelines.hosts.journal import Journals
    from pipelines.hosts.logs import configure_logs
    from pipelines.hosts.server import Server, Settings
    from pipelines.hosts.session import Patience

    configure_logs()
    settings = Settings(
        address=options["address"], port=options["port"], n_workers=options["workers"],
        most_connections=options["connections"], backlog_bytes=int(options["backlog_mb"] * 1e6),
        patience=Patience(options["silence"], options["wait"], options["deadline"]),
    )  # fmt: skip
    archive = None if options["no_save"] else _archive(options)
    images = _kept_images(options)
    subscribers = [Journals(archive.begin, lambda: archive.problem)] if archive else []
    subscribers += [images] if images else []
    subscribers += [_decisions(*options["decisions"])] if options["decisions"] else []
    try:
        page = _page(options)
        server = Server(settings, *subscribers, *([page.feed] if page else []))
        monitor = server.monitor.serve(options["address"], options["monitor_port"])
        if page:
            page.start(server.state, (options["address"], server.port), options["save"] if archive else None)
    except OSError as error:
        raise click.ClickException(f"cannot listen: {error}") from error
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    threading.Thread(target=server.serve_forever, daemon=True, name="accept").start()
    kept = "scans are not kept" if options["no_save"] else f"scans are kept in {options['save']}"
    kept += f", images in {images.folder}" if images else ""
    click.echo(f"serving MRD on {options['address']}:{server.port}, http on port {monitor.server_port}; {kept}")
    if page:
        click.echo(f"the page: {page.url}")
    while not stopped.wait(LOOK_SECONDS):  # the system may hand the signal to another thread, which does not wake us
        pass
    click.echo("finishing the running scans; once more to end at once")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    finished = server.stop(options["deadline"])
    monitor.shutdown()
    monitor.server_close()
    for keeps in filter(None, (images, archive)):
        keeps.close(options["deadline"])
    if page:
        page.close()
    if not finished:
        raise click.ClickException("not all scans finished in time")


def _decisions(host: str, port: int) -> Any:
    """Find the host that hears decisions."""
    from pipelines.hosts.decisions import Decisions

    try:
        return Decisions(host, port)
    except OSError as error:
        raise click.ClickException(f"--decisions: no way to {host}:{port} ({error.strerror})") from error


def _page(options: dict[str, Any]) -> Any:
    """Make the page that is asked for, or None. Raises `OSError` if it cannot listen."""
    if options["page"] is None:
        return None
    from gadgets.errors import PipelineError
    from pipelines.page.page import Page

    try:
        return Page(options["page_address"], options["page"], options["page_token"])
    except PipelineError as problem:
        raise click.ClickException(str(problem)) from problem


def _kept_images(options: dict[str, Any]) -> Any:
    """Open the folder that keeps images, and what sends them to an archive, as far as that is asked for."""
    from pipelines.export.formats import require_packages
    from pipelines.files.finished_file import FileProblem
    from pipelines.hosts.kept_images import KeptImages

    folder, form, archive = options["save_images"], options["image_format"], options["send_images"]
    if archive and (folder is None or form != "dicom"):
        raise click.UsageError("--send-images sends what is kept as DICOM: give --save-images and --image-format dicom")
    if folder is None:
        return None
    if folder.resolve() == options["save"].resolve() and not options["no_save"]:
        raise click.UsageError(f"--save-images: {folder} keeps the scans; name another folder")
    _try_folder(folder, "images", "--save-images")
    sending = None
    try:
        require_packages(form)
        if archive:
            require_packages("send")
            from pipelines.export.dicom_send import Archive
            from pipelines.hosts.image_sending import ImageSending

            sending = ImageSending(folder, Archive(*archive))
    except FileProblem as problem:
        raise click.ClickException(str(problem)) from problem
    return KeptImages(folder, form, _retention(options), sending)


def _archive(options: dict[str, Any]) -> Any:
    """Open the folder that keeps scans."""
    from pipelines.hosts.archive import Archive

    _try_folder(options["save"], "scans", "--save", "or give --no-save")
    return Archive(options["save"], _retention(options))


def _retention(options: dict[str, Any]) -> Any:
    from pipelines.hosts.retention import Retention

    return Retention(int(options["save_gb"] * 1e9), options["save_days"] * 86400)


def _try_folder(folder: Path, what: str, option: str, otherwise: str = "") -> None:
    """Try it now, since a scan later would only log that it is not kept."""
    try:
        os.umask(0o077)  # what is kept of a scan is for the server's own user
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = ", ".join(filter(None, (f"name another folder by {option}", otherwise)))
        raise click.ClickException(f"no {what} can be kept in {folder} ({error.strerror}); {advice}") from error
