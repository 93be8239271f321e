"""Installs the pipelines' XML where Gadgetron looks for configurations; everything else is in pyproject.toml."""

from glob import glob

from setuptools import setup

setup(data_files=[("share/gadgetron/config", sorted(glob("pipelines/*.xml")))])
