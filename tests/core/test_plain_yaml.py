"""Cards and recipes are pages of YAML, and no more is read."""

import re

import pytest

from kband_core.plain_yaml import read_yaml


@pytest.mark.parametrize(("text", "sentence"), [
    ("[" * 3000, "it is nested more than 20 deep"),
    ("a: &a [1]\nb: [*a, *a]", "it has an alias, *a, and none is read"),
    ("a: " + "b" * 100_000, "it has 100,003 bytes, at most 100,000 are read"),
    ("a: [", "not YAML ("),
])  # fmt: skip
def test_yaml_is_bounded(text, sentence):
    """Ten lines can repeat one word a billion times, and 3 kB end the program that follows them down."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_yaml(text.encode())


def test_what_fits_is_read():
    """20 lists in one another are read, as safe YAML."""
    assert read_yaml(b"a: {b: [1, 2.5, x]}") == {"a": {"b": [1, 2.5, "x"]}}
    assert read_yaml(b"[" * 20 + b"]" * 20)
