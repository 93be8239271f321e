"""The load balancer in front of several servers."""

import shutil
import subprocess
from pathlib import Path

import pytest

CONFIGURATION = Path(__file__).parents[2] / "docker" / "haproxy.cfg"


def test_haproxy_reads_the_configuration():
    """A typing error in it would keep the scanners of a site without reconstruction."""
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if haproxy is None:
        pytest.skip("haproxy not installed")
    found = subprocess.run([haproxy, "-c", "-f", str(CONFIGURATION)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
