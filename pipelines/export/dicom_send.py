"""DICOM files sent to an archive (PACS) by C-STORE, until it has them all."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pynetdicom import AE
from pynetdicom.presentation import build_context
from tqdm import tqdm

from kband_core.plural import counted
from pipelines.files.finished_file import FileProblem

CALLING = "KBAND"
SUCCESS, WARNINGS = 0x0000, (0xB000, 0xB006, 0xB007)  # stored, perhaps with elements changed (PS3.4, B.2.3)
TIMEOUT = 30.0  # s for the network, an answer and an association


@dataclass(frozen=True)
class Archive:
    """Who is called: application entity title, host, port."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


def send(folders: Sequence[Path], archive: Archive, tries: int, pause: float) -> int:
    """Send all DICOM files of the folders; return how many. What was not taken is tried again, `pause` s later.

    The files stay where they are, and an archive knows an image by its UID, so all of it may be done again. Raises
    `FileProblem` if there are none, or if the archive, after so many `tries`, has not taken all.
    """
    waiting = {path: _read(path) for folder in folders for path in sorted(folder.rglob("*.dcm"))}
    if not waiting:
        raise FileProblem(f"{', '.join(map(str, folders))}: no DICOM files (.dcm)")
    n_files, problem = len(waiting), ""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # we say in one sentence what it says in three
    with tqdm(total=n_files, desc=str(archive), unit="file", delay=0.5, disable=None) as bar:
        for attempt in range(tries):
            if attempt:
                time.sleep(pause)
            taken, problem = _send_once(waiting, archive)
            for path in taken:
                del waiting[path]
            bar.update(len(taken))
            if not waiting:
                return n_files
    raise FileProblem(
        f"{archive} has not taken {len(waiting)} of {n_files} files after {counted(tries, 'try', 'tries')}, first "
        f"{next(iter(waiting))}: {problem}; they are still there, send them again"
    )


def _send_once(waiting: dict[Path, tuple[str, str]], archive: Archive) -> tuple[list[Path], str]:
    """Offer each file once; return those that were taken, and what is wrong with the first other one."""
    taken: list[Path] = []
    caller = AE(ae_title=CALLING)
    caller.acse_timeout = caller.dimse_timeout = caller.network_timeout = caller.connection_timeout = TIMEOUT
    contexts = [build_context(storage, syntax) for storage, syntax in sorted(set(waiting.values()))]
    called = caller.associate(archive.host, archive.port, contexts, ae_title=archive.title)
    if not called.is_established:
        if called.rejected_contexts:  # all of them
            return taken, _other_kind(called.rejected_contexts[0].abstract_syntax)
        return taken, "it refuses us" if called.is_rejected else "nobody answers"
    problem, accepted = "", {context.abstract_syntax for context in called.accepted_contexts}
    try:
        for path, (storage, _) in waiting.items():
            if not called.is_established:
                problem = problem or "it went away"
                break
            if storage not in accepted:
                problem = problem or _other_kind(storage)
                continue
            status = getattr(called.send_c_store(path), "Status", None)
            if status == SUCCESS or status in WARNINGS:
                taken.append(path)
            else:
                answer = "it does not answer" if status is None else f"it answers with status {status:#06x}"
                problem = problem or answer
    finally:
        if called.is_established:
            called.release()
    return taken, problem


def _other_kind(storage: str) -> str:
    return f"it does not take files of this kind ({storage})"


def _read(path: Path) -> tuple[str, str]:
    """Storage class and transfer syntax of a file."""
    try:
        meta = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"]).file_meta
        return meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID
    except (OSError, InvalidDicomError, AttributeError) as error:
        raise FileProblem(f"{path}: is no DICOM file ({error})") from error
