"""A page for each room: the modules of a folder, as their docstrings tell them. MkDocs calls it while it builds."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
FLOORS = ("kband_core", "gadgets", "pipelines")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, each named like its room."""
    for floor in FLOORS:
        for marker in sorted((ROOT / floor).rglob("__init__.py")):
            room = ".".join(marker.parent.relative_to(ROOT).parts)
            name = f"{floor}/{'index' if room == floor else room}.md"
            files.append(File.generated(config, name, content=_page(marker.parent, room)))
    return files


def _page(folder: Path, room: str) -> str:
    """Write the page of a room: what the room says of itself, then its modules."""
    modules = [f"{room}.{path.stem}" for path in sorted(folder.glob("*.py")) if not path.stem.startswith("__")]
    alone = f"::: {room}\n    options: {{members: false, show_root_heading: false}}"
    return "\n\n".join([f"# {room}", alone, *(f"::: {module}" for module in modules)])
