"""What the shell completes when Tab is pressed; as bash asks for it, in a process of its own."""

import os
import shutil
import subprocess
import sys

import pytest

PROGRAM = """if True:
    import sys
    from pipelines.cli import main
    try:
        main(prog_name="kband")
    finally:
        sys.stderr.write(f"torch: {'torch' in sys.modules}\\n")
"""


def ask(environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})  # fmt: skip


def completed(*words: str) -> list[str]:
    """What bash is offered for the last word, as 'kind,text'."""
    told = ask({"_KBAND_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["kband", *words]).rstrip(),
                "COMP_CWORD": str(len(words))})  # fmt: skip
    assert told.stderr == "torch: False\n"  # its import takes seconds, at each press
    return told.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("re",), ["plain,replay"]),
        (("replay", "-p", "grappa_"), ["plain,grappa_buffered", "plain,grappa_warm"]),
        (("replay", "--pipeline", "my"), ["file,my"]),
        (("check", "sense", "raki_w"), ["plain,raki_warm"]),
        (("train", "small"), ["plain,small_kband", "plain,small_radial", "plain,small_spiral"]),
        (("train", "simulated_l"), ["plain,simulated_lines"]),
        (("evaluate", "simulated_s"), ["plain,simulated_small"]),
        (("simulate", "--held"), ["plain,--held-out-lines"]),
        (("no-such", "x"), []),
    ],
    ids=lambda case: " ".join(case),
)
def test_names_are_completed(words, offered):
    """Those of commands, pipelines, recipes, models and options; a file may stand in place of a pipeline."""
    assert completed(*words) == offered


def test_models_of_a_folder_are_completed(tmp_path, monkeypatch):
    """One's own are those that are typed most."""
    for suffix in ("yaml", "safetensors"):
        (tmp_path / f"own.{suffix}").touch()
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    assert completed("evaluate", "own") == ["plain,own"]


def test_the_line_for_bash_can_be_read_by_it():
    """What the README tells people to put into their .bashrc."""
    if (bash := shutil.which("bash")) is None:
        pytest.skip("there is no bash")
    script = ask({"_KBAND_COMPLETE": "bash_source"}).stdout
    told = subprocess.run([bash, "-c", f"{script}\ncomplete -p kband"], capture_output=True, text=True, check=False)
    assert told.stdout.strip().endswith("kband"), told.stderr
