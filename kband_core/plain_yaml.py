"""YAML of one page: its length and depth are bounded before anything is made of it."""

from __future__ import annotations

from typing import Any

import yaml

LONGEST, DEEPEST = 100_000, 20  # bytes, nested keys and lists; what ships has 2,000 and 4


def read_yaml(content: bytes) -> Any:
    """Return what the text says. Raises `ValueError`, one sentence, if it is no YAML, too long, too deep or branches.

    An alias (*name) repeats a part; ten lines of aliases of aliases repeat it a billion times.
    """
    if len(content) > LONGEST:
        raise ValueError(f"it has {len(content):,} bytes, at most {LONGEST:,} are read")
    depth = 0
    try:
        for event in yaml.parse(content, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"it has an alias, *{event.anchor}, and none is read")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"it is nested more than {DEEPEST} deep")
        return yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"not YAML ({' '.join(str(error).split())})") from error
