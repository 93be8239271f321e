"""Whatever bytes come, this host answers with its own errors, within its limits, and does not hang."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.streaming.fuzz_targets import targets

pytestmark = pytest.mark.filterwarnings("ignore::xsdata.exceptions.ConverterWarning")  # one for each wrong value


@pytest.mark.parametrize("name", targets())
def test_nothing_unforeseen(name):
    """The same examples in every run; `benchmarks/fuzz.py` looks for others."""
    target = targets()[name]
    how = settings(
        max_examples=target.n_examples, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    how(given(target.strategy)(target.check))()
