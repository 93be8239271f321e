"""What the READMEs say, works: every command in a ```bash block runs as written, and the gadget table is current.

The blocks of one README run in one shell, in a copy of the checkout, and the first command that fails ends it. What
cannot run everywhere (a scanner, a container, the set-up itself) stands in ```text blocks.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipelines.installation.gadget_table import gadget_table

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", *sorted(ROOT.glob("*/README.md"))]
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "demo", "shared")
BLOCK = re.compile(r"^```(bash|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(readme: str) -> str:
    """The script that the bash blocks of a README make; of console blocks, the lines behind `$ `."""
    blocks = []
    for language, text in BLOCK.findall(readme):
        lines = text.splitlines()
        if language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        blocks.append("\n".join(lines))
    return "\n".join(blocks)


def run(script: str, folder: Path) -> tuple[int, str]:
    """Exit code and output, each command shown before it runs. What it left in the background is ended."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    output = folder.with_suffix(".log")
    with output.open("w") as log:
        shell = subprocess.Popen(
            ["bash", "-xeuo", "pipefail", "-c", script], cwd=folder, env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = shell.wait()
        finally:
            with suppress(ProcessLookupError):  # nothing is left
                os.killpg(shell.pid, signal.SIGKILL)
    return code, output.read_text()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_run_as_written(readme, tmp_path):
    """The first thing a reader does is to paste a command."""
    script = commands(readme.read_text())
    if not script:
        pytest.skip("no commands")
    checkout = shutil.copytree(ROOT, tmp_path / "checkout", ignore=NOT_COPIED)
    code, output = run(script, checkout)
    assert code == 0, output


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_command_hides_in_a_sentence(readme):
    """What stands in a block runs, behind what stands before it; a command within a line of prose would not."""
    prose = re.sub(r"^```.*?^```$", "", readme.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert not re.findall(r"`[^`]*kband (?:simulate|prepare|replay|view|train|evaluate) [^`]*\.h5[^`]*`", prose)


def test_gadget_table_is_current():
    """`kband doctor --gadgets` prints the table."""
    readme = ROOT / "gadgets" / "README.md"
    if not readme.exists() or not readme.read_text():
        pytest.skip("gadgets/README.md is not written yet")
    assert gadget_table() in readme.read_text()


SAMPLE = """Text with `inline code`.

```bash
step=1   # one shell for all blocks
echo "step $step" \\
    > steps.txt
```

```text
a command for the scanner's own computer
```

```console
$ echo "step $((step + 1))" >> steps.txt
output that is not a command
$ cat steps.txt
step 1
```
"""


def test_blocks_become_one_script(tmp_path):
    """Variables and files go from block to block; text blocks and printed output do not run."""
    assert "scanner" not in commands(SAMPLE)
    code, output = run(commands(SAMPLE), tmp_path)
    assert code == 0
    assert (tmp_path / "steps.txt").read_text() == "step 1\nstep 2\n"
    assert output.endswith("+ cat steps.txt\nstep 1\nstep 2\n")


@pytest.mark.parametrize("wrong", ["kband no-such-command", "false | cat", "no-such-program", 'echo "$unset"'])
def test_a_command_that_fails_fails(wrong, tmp_path):
    """Even in the middle of a block, and the log ends with it."""
    code, output = run(commands(f"```bash\necho before\n{wrong}\necho behind\n```\n"), tmp_path)
    assert code != 0
    assert "before" in output
    assert "behind" not in output


def is_alive(pid: int) -> bool:
    """Whether a process still runs; a zombie that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_runs_in_the_background_is_ended(tmp_path):
    """A README may start a server; the next test must not meet it."""
    code, output = run("sleep 1000 & echo $!", tmp_path)
    assert code == 0
    (pid,) = (int(line) for line in output.splitlines() if line.isdigit())
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(pid)
