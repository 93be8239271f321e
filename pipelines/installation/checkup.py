"""What may be amiss with an installation: versions, names, device, models, pipelines. Each check says what to do.

What bears one of our names is imported only once the name is known to be ours.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from pipelines.installation.check import Check
from pipelines.installation.gadgetron_python import check_gadgetron_python
from pipelines.packages import OUR_FOLDER, OUR_PACKAGES

DISTRIBUTIONS = ("kband", "torch", "numpy", "h5py", "ismrmrd", "gadgetron")
CONFIGURATIONS = Path("share", "gadgetron", "config")  # where Gadgetron looks, below its home
CONNECT = re.compile(rb"<connect\s[^>]*>")


def check_all() -> Iterator[Check]:
    """Look at everything; stop where the rest could not be imported."""
    basics = [*check_versions(), *check_names(Path.cwd())]
    yield from basics
    if any(check.level == "error" for check in basics):
        return
    yield from check_device()
    yield from check_models()
    yield from check_pipelines()
    yield from check_copies(Path(sys.prefix), os.environ.get("GADGETRON_HOME"))
    yield from check_gadgetron_python()


def check_versions() -> Iterator[Check]:
    """Versions of what reconstructs and speaks."""
    yield Check("ok", f"python {platform.python_version()} in {sys.prefix}")
    for name in DISTRIBUTIONS:
        try:
            yield Check("ok", f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            yield Check("error", f"{name} is not installed; run pip install -e . in the checkout")


def check_device() -> Iterator[Check]:
    """The device that `auto` takes, its memory and precision, and the threads of the CPU."""
    import torch

    from kband_core.device import choose_device, computes_bfloat16

    device = choose_device("auto")
    if device.type == "cuda":
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info(device))
        yield Check("ok", f"device 'auto' is {device} ({torch.cuda.get_device_name(device)}), CUDA "
                          f"{torch.version.cuda}, {free:.1f} of {total:.1f} GiB free")  # fmt: skip
    elif torch.version.cuda:
        yield Check("warning", f"device 'auto' is the CPU, though torch is built for CUDA {torch.version.cuda}; "
                               "see whether nvidia-smi finds a GPU")  # fmt: skip
    else:
        yield Check("ok", "device 'auto' is the CPU, torch is built without CUDA")
    precision = "bfloat16" if computes_bfloat16(device) else f"float32: {device} has no instructions for bfloat16"
    yield Check("ok", f"convolutions of networks trained in bfloat16 compute in {precision}")
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    yield Check("ok", f"torch uses {torch.get_num_threads()} threads on {os.cpu_count()} CPU cores, {free:.1f} GiB of "
                      "memory free")  # fmt: skip


def check_names(working: Path) -> Iterator[Check]:
    """Whether our generic top-level names are ours, here and for a Gadgetron started in the folder `working`."""
    owners = metadata.packages_distributions()
    for name in OUR_PACKAGES:
        spec = find_spec(name)
        folder = Path(spec.origin).resolve().parents[1] if spec and spec.origin else None
        others = sorted(set(owners.get(name, ())) - {"kband"})
        if folder != OUR_FOLDER:
            yield Check("error", f"'{name}' is imported from {folder or 'nowhere'}, not from {OUR_FOLDER}; "
                                 "uninstall what is there, then install kband again")  # fmt: skip
        elif others:
            yield Check("warning", f"'{name}' is also installed by {' and '.join(others)}, which may have overwritten "
                                   "files of ours; uninstall it and install kband again")  # fmt: skip
        else:
            yield Check("ok", f"'{name}' is ours, from {folder}")
    for name in (*OUR_PACKAGES, "gadgetron"):
        if working != OUR_FOLDER and (working / name / "__init__.py").is_file():
            yield Check("warning", f"{working / name} hides the installed '{name}' from a Gadgetron that is started in "
                                   f"{working}; start it elsewhere")  # fmt: skip


def check_models() -> Iterator[Check]:
    """Whether the weights of every trained model are those that its card describes, and what it was trained on."""
    from kband_core.model_folders import available_models
    from kband_core.models import load_card, load_model

    folders = [Path(name) for name in os.environ.get("KBAND_MODELS", "").split(os.pathsep) if name]
    yield from (Check("warning", f"KBAND_MODELS names {folder}, which is no folder; make it, or leave it out")
                for folder in folders if not folder.is_dir())  # fmt: skip
    models = available_models()
    if not models:
        yield Check("warning", "no trained models; name folders of models in KBAND_MODELS")
    for name, path in models.items():
        try:
            card, _ = load_card(name), load_model(name)
        except ValueError as error:
            yield Check("warning", f"{error}; bring it to {path.parent} again")
            continue
        materials = dict.fromkeys(training.trained_on for training in (*card.pretrained, card))
        size = path.with_suffix(".safetensors").stat().st_size / 1e6
        yield Check("ok", f"model '{name}' in {path.parent}: sha256 {card.sha256[:12]} as in its card, {size:.1f} MB, "
                          f"{card.parameters:,} parameters, trained on {', then on '.join(materials)}")  # fmt: skip


def check_pipelines() -> Iterator[Check]:
    """Whether every installed pipeline can be read, has no flaws, and makes the image of a tiny scan."""
    from gadgets.gadget import REGISTRY
    from pipelines.chain.lint import lint
    from pipelines.chain.pipeline import installed_pipelines
    from pipelines.installation.dry_run import dry_run

    for name, path in installed_pipelines().items():
        findings = lint(path.read_bytes())
        yield from (Check(found.severity, f"pipeline {path}: {found.sentence}") for found in findings)
        if any(found.severity == "error" for found in findings):
            continue
        problem, result = dry_run(path.read_bytes())
        if problem:  # what an extra would bring is no flaw: sites without trajectories go without it
            level = "warning" if "pip install kband[" in problem else "error"
            yield Check(level, f"pipeline {name}: a dry run fails after {result}: {problem}")
        else:
            yield Check("ok", f"pipeline {name}: {'' if findings else 'no flaws, '}{result}")
    yield Check("ok", f"{len(set(REGISTRY.values()))} gadgets; kband doctor --gadgets lists them")


def check_copies(prefix: Path, gadgetron_home: str | None) -> Iterator[Check]:
    """Whether Gadgetron finds our pipelines, and whether it finds these and not those of another version.

    Where a pipeline's server stands is the site's business: <connect> may differ.
    """
    ours = sorted((OUR_FOLDER / "pipelines").glob("*.xml"))
    for home in dict.fromkeys((prefix, Path(gadgetron_home or prefix))):
        folder = home / CONFIGURATIONS
        differing = [path.stem for path in ours if _differs(path, folder / path.name)]
        missing = [path.stem for path in ours if not (folder / path.name).is_file()]
        has_gadgetron = (gadgetron_home and home == Path(gadgetron_home)) or (home / "bin" / "gadgetron").is_file()
        copy = f"install -D -m 644 -t {folder} {OUR_FOLDER / 'pipelines'}/*.xml"
        if differing:
            yield Check("warning", f"{folder} holds other versions of {', '.join(differing)}; run {copy}")
        elif missing and has_gadgetron:
            yield Check("warning", f"{folder} lacks {', '.join(missing)}, so Gadgetron does not find them; run {copy}")
        elif missing:
            yield Check("ok", f"no pipelines in {folder}, and no Gadgetron that would look there")
        else:
            yield Check("ok", f"the pipelines in {folder} are the same as ours")


def _differs(ours: Path, copy: Path) -> bool:
    contents = (CONNECT.sub(b"", path.read_bytes()) for path in (ours, copy) if copy.is_file())
    return len(set(contents)) > 1
