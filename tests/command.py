"""Call the command line as a user does."""

from click.testing import CliRunner, Result

from pipelines.cli import main


def kband(*arguments: object) -> Result:
    """Run `kband` with these arguments."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])
