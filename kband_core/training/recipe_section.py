"""What recipes of every kind are made of: sections without room for typing errors, whose mistakes are one sentence."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_SHOWN = 3  # mistakes in one sentence

Whole = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=1, le=4096)]
Coils = Annotated[int, Field(ge=1, le=256)]
Number = Annotated[int, Field(ge=1, le=65536)]
Factor = Annotated[float, Field(ge=1)]
Checked = TypeVar("Checked", bound="Section")


class Section(BaseModel):
    """A part of a recipe, without room for typing errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WholeRecipe(Section):
    """One training, whole, of any kind. The same recipe on the same machine gives the same weights."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    description: str = ""

    def text(self) -> str:
        """Write it as YAML, defaults included: they may change."""
        return yaml.safe_dump(self.model_dump(mode="json", exclude_none=True), sort_keys=False)

    def changed(self: Checked, section: str | None = None, **values: Any) -> Checked:
        """Return a copy with other values in a section, or in the recipe itself. Raises `ValueError`."""
        whole = self.model_dump(mode="json")
        changes = values if section is None else {section: {**whole[section], **values}}
        return checked(type(self), {**whole, **changes}, self.name)


def checked(kind: type[Checked], content: Any, name: str) -> Checked:
    """Check the content of a recipe of a kind. Raises `ValueError`: one sentence with the keys that are wrong."""
    if not isinstance(content, dict):
        raise ValueError(f"recipe {name}: {type(content).__name__} found, keys expected: {_known(kind, ())}")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        flaws = list(dict.fromkeys(_flaw(kind, entry) for entry in error.errors()))
        more = f"; and {len(flaws) - MOST_SHOWN} more" if len(flaws) > MOST_SHOWN else ""
        raise ValueError(f"recipe {name}: {'; '.join(flaws[:MOST_SHOWN])}{more}") from error


def _flaw(kind: type[Section], entry: Any) -> str:
    where = tuple(part for part in entry["loc"] if isinstance(part, str) and part.isidentifier())
    key = ".".join(where)
    if entry["type"] == "extra_forbidden":
        return f"unknown key '{key}'; known are {_known(kind, where[:-1])}"
    if entry["type"] == "missing":
        return f"'{key}' is missing"
    message = entry["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"{key}: {message}" if key else message


def _known(kind: type[BaseModel], where: tuple[str, ...]) -> str:
    for key in where:
        annotation = kind.model_fields[key].annotation
        kind = next(one for one in (annotation, *get_args(annotation)) if hasattr(one, "model_fields"))
    return ", ".join(kind.model_fields)
