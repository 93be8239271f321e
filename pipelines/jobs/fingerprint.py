"""What makes the results besides files and properties: this program and its models. Equal here and there, or not."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

from kband_core.model_folders import available_models
from pipelines.packages import OUR_FOLDER, OUR_PACKAGES

PLUGINS = ("kband.gadgets", "kband.networks")
KINDS = {".py", ".xml", ".yaml", ".safetensors"}


@cache
def fingerprint() -> str:
    """A digest of our files, of the cards of all models, which name their weights, and of the versions that compute."""
    digest = hashlib.sha256()
    for package in OUR_PACKAGES:
        for path in sorted((OUR_FOLDER / package).rglob("*")):
            if path.suffix in KINDS:
                digest.update(f"{path.relative_to(OUR_FOLDER)} {digest_of(path)}\n".encode())
    for name, card in available_models().items():
        digest.update(f"model {name} {digest_of(card)}\n".encode())
    others = {entry.dist.name for group in PLUGINS for entry in metadata.entry_points(group=group) if entry.dist}
    for name in ("torch", "numpy", *sorted(others)):
        digest.update(f"{name} {metadata.version(name)}\n".encode())
    return digest.hexdigest()


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, or of all files of a folder with their names; raises `OSError`."""
    digest = hashlib.sha256()
    if path.is_dir():
        for each in sorted(path.rglob("*")):
            if each.is_file():
                digest.update(f"{each.relative_to(path)} {digest_of(each)}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
