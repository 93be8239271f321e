"""All images, really built, serve scans that come from outside, pixel for pixel as here.

It takes a quarter of an hour and some gigabytes, so it waits to be asked: KBAND_BASE_IMAGE names the image to begin
with, KBAND_BUILD_OPTIONS what buildah needs besides. `pytest tests/containers/test_images.py -s` shows what happens.
"""

import base64
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LABEL = ROOT / "docker/openrecon/label.json"
KEY = "com.siemens-healthineers.magneticresonance.openrecon.metadata:1.1.0"
BASE = os.environ.get("KBAND_BASE_IMAGE")
OPTIONS = shlex.split(os.environ.get("KBAND_BUILD_OPTIONS", ""))
SERVER, GADGETRON, OPENRECON, STAND_IN = (f"localhost/kband-trial-{name}:0" for name in ("s", "g", "o", "stand-in"))

pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not (BASE and shutil.which("buildah")), reason="KBAND_BASE_IMAGE is not set, or no buildah"),
]


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def build(kind: str, name: str, **arguments: str) -> None:
    given = [part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")]
    run("docker/build.sh", kind, name, *given, *OPTIONS)


def serves(image: str, *command: str, as_close_as: float = 0) -> None:
    """What the program prints, and its exit code, are the test's."""
    run(sys.executable, "docker/try_image.py", "--as-close-as", str(as_close_as), image, *command)


@pytest.fixture(scope="module")
def server():
    build("server", SERVER, BASE_IMAGE=BASE)
    yield SERVER
    run("buildah", "rmi", "--force", SERVER)


def test_server_image_serves(server):
    """As its own user, by its own entry point."""
    serves(server)


def test_add_on_leaves_gadgetrons_python_alone(server):
    """The versions that Gadgetron's environment brings stay; then its Python serves as well.

    Another numpy rounds otherwise, which the network's bfloat16 makes more of: 0.2 % of the brightest pixel was seen.
    """
    run("buildah", "build", "--isolation", "chroot", "--file", "tests/containers/gadgetron_stand_in.Dockerfile",
        "--tag", STAND_IN, "--build-arg", f"BASE_IMAGE={BASE}", *OPTIONS, ".")  # fmt: skip
    build("gadgetron", GADGETRON, GADGETRON_IMAGE=STAND_IN, WHEEL_IMAGE=server)
    try:
        serves(GADGETRON, "sh", "-c", "python -m pip freeze | grep -x numpy==1.26.4 && "
                                      "python -m pip freeze | grep -x ismrmrd==1.14.0 && "
                                      'exec kband serve --no-save "$@"', "sh", as_close_as=0.005)  # fmt: skip
    finally:
        run("buildah", "rmi", "--force", GADGETRON, STAND_IN)


def test_package_for_a_scanner(server, tmp_path):
    """The image serves, and what is packed is that image with its label, and a manual."""
    build("openrecon", OPENRECON, SERVER_IMAGE=server)
    try:
        serves(OPENRECON)
        run("docker/openrecon/pack.sh", OPENRECON, tmp_path)
    finally:
        run("buildah", "rmi", "--force", OPENRECON)
    with zipfile.ZipFile(tmp_path / "OpenRecon_kband_kband_V0.1.0.zip") as package:
        names = ["OpenRecon_kband_kband_V0.1.0.pdf", "OpenRecon_kband_kband_V0.1.0.tar"]
        assert sorted(package.namelist()) == names
        assert package.read(names[0]).startswith(b"%PDF-")
        package.extract(names[1], tmp_path)
    with tarfile.open(tmp_path / names[1]) as image:
        (manifest,) = json.load(image.extractfile("manifest.json"))
        config = json.load(image.extractfile(manifest["Config"]))
    assert manifest["RepoTags"] == ["docker.io/library/openrecon_kband_kband:v0.1.0"]
    assert (config["os"], config["architecture"], config["config"]["User"]) == ("linux", "amd64", "0")
    assert json.loads(base64.b64decode(config["config"]["Labels"][KEY])) == json.loads(LABEL.read_text())
