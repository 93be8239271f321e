"""What every command has in common."""

import subprocess
import sys
from importlib import metadata

import click
import pytest
from tqdm import tqdm

from pipelines import cli
from tests.command import kband


def test_the_version_is_told():
    """A report of a fault begins with it."""
    assert kband("--version").output == f"kband {metadata.version('kband')}\n"


def test_what_is_interrupted_ends_with_130(monkeypatch):
    """Scripts tell Ctrl-C from a failure by it; nobody wants to see a traceback."""

    @click.command()
    def doctor():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli._Lazy, "get_command", lambda *_: doctor)
    result = kband("doctor")
    assert result.exit_code == 130
    assert result.output == "interrupted\n"


@pytest.mark.parametrize(
    "arguments", [["replay"], ["check"], ["no-such"], *([name, "--help"] for name in cli.COMMANDS)], ids=" ".join
)
def test_usage_is_told_without_torch(arguments):
    """Its import takes seconds, and whoever mistypes waits for it; a process of its own, since this one has it."""
    program = """if True:
        import sys
        from pipelines.cli import main
        try:
            main()
        finally:
            sys.stdout.write(f"torch: {'torch' in sys.modules}\\n")
    """
    told = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert told.stdout.endswith("torch: False\n"), told.stderr


def test_mistyped_commands_are_suggested():
    """The list of them is one call away, the right one is nearer."""
    result = kband("replya")
    assert result.exit_code == 2
    assert result.output.endswith("Error: no command 'replya'; did you mean replay?\n")


def test_what_there_is_to_name_is_listed():
    """Pipelines, recipes and models are named on the command line; a folder of models counts."""
    output = kband("list").output
    for kind, name in (("pipelines", "sense"), ("recipes", "small_kband"), ("models", "simulated_small")):
        assert f"  {name}" in output.partition(f"{kind}:\n")[2]


def test_quiet_tells_no_progress(monkeypatch):
    """In a script a bar is noise; it is tqdm that reads this, when it is imported."""
    monkeypatch.setenv("TQDM_DISABLE", "0")
    assert kband("--quiet", "list").exit_code == 0
    assert cli.os.environ["TQDM_DISABLE"] == "1"


@pytest.mark.parametrize("arguments", [
    ("simulate", "-o", "{}/scan.h5", "--matrix", "16", "--slices", "1", "--coils", "1", "--acs-lines", "4"),
    ("train", "simulated_first", "-o", "{}", "--resume"),
], ids=lambda arguments: arguments[0])  # fmt: skip
def test_quiet_commands_have_no_bar(arguments, tmp_path):
    """A bar that is switched on by name does not ask the environment; a process of its own, for it is read once."""
    program = """if True:
        import sys
        from pipelines import cli
        cli._without_progress(type("Context", (), {"meta": {}}), None, True)
        import tqdm
        begin = tqdm.tqdm.__init__
        def begin_and_tell(bar, *args, **options):
            begin(bar, *args, **options)
            sys.stdout.write(f"hidden: {bar.disable}\\n")
        tqdm.tqdm.__init__ = begin_and_tell
        cli.main()
    """
    command = [sys.executable, "-c", program, "-q", *(each.format(tmp_path) for each in arguments)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert "hidden: True" in told
    assert "hidden: False" not in told


@pytest.mark.parametrize(("command", "name", "right"), [
    (("simulate",), "scan.mrd", ".h5"), (("replay", "scan.h5"), "images.dcm", ".h5"),
    (("prepare", "scan.h5"), "planes.npy", ".h5"), (("evaluate", "simulated_small", "scan.h5"), "table.xml", ".csv"),
])  # fmt: skip
def test_names_that_promise_another_format_are_refused(command, name, right, tmp_path):
    """A viewer would open the file by its name, and fail; before any work."""
    result = kband(*command, "-o", tmp_path / name)
    assert result.exit_code == 1
    suffix = name[name.index(".") :]
    assert f"what is written is no {suffix} file; give it a name that ends in {right}" in result.output


def test_a_name_that_ends_in_a_slash_is_a_folder(tmp_path):
    """As in cp and mv."""
    kband("simulate", "-o", tmp_path / "scan.h5", "--matrix", 32, "--slices", 1, "--coils", 4, "--acs-lines", 12)
    assert kband("replay", tmp_path / "scan.h5", "-o", f"{tmp_path}/made/").exit_code == 0
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["scan_sense.h5"]


def test_no_bar_comes_between_words_here():
    """Bars are shown after half a second; what tests read must not depend on how slow the machine is."""
    assert tqdm([]).disable
