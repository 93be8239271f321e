"""The top-level packages that are ours, and the folder that holds them."""

from pathlib import Path

OUR_PACKAGES = ("kband_core", "gadgets", "pipelines")
OUR_FOLDER = Path(__file__).resolve().parents[1]
