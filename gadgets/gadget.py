"""The contract of every node: declared properties, what it accepts and emits, `open`, `process`."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeAlias, TypeVar

import pydantic
import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from gadgets.errors import PipelineError
from gadgets.foreign import foreign_names, import_foreign
from gadgets.scan import Scan

REGISTRY: dict[str, type[Gadget]] = {}

Result = TypeVar("Result")
Limit: TypeAlias = Callable[[float, Callable[[], Result]], Result]


def unlimited(seconds: float, compute: Callable[[], Result]) -> Result:
    """Return what `compute` returns, however long it takes: what holds it to `seconds` is who runs the chain."""
    return compute()


@dataclasses.dataclass(frozen=True)
class Property:
    """One declared property of a gadget, as people read it."""

    name: str
    type: str
    default: str
    description: str


@dataclasses.dataclass
class Gadget:
    """A node of the chain. Subclasses are dataclasses whose fields are the XML properties.

    `accepts` and `emits` name item types; neighbours are checked when a pipeline is read. A twin of a stock Gadgetron
    gadget names it in `twin_of` and lists in `stock_only` the stock's properties that it cannot honour off Gadgetron.
    """

    accepts: ClassVar[tuple[type, ...]]
    emits: ClassVar[tuple[type, ...]]
    twin_of: ClassVar[str | None] = None
    stock_only: ClassVar[frozenset[str]] = frozenset()
    limit: ClassVar[Limit] = staticmethod(unlimited)  # set by who runs the chain; `ScanError` if time is over
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    def __init_subclass__(cls) -> None:
        for name in {cls.__name__, cls.twin_of or cls.__name__}:
            taken = REGISTRY.setdefault(name, cls).__module__
            if taken != cls.__module__:
                raise PipelineError(f"gadget '{name}' of {cls.__module__}: {taken} has one of that name already")
            REGISTRY[name] = cls

    @property
    def computes_on(self) -> torch.device | None:
        """The device that `open` has chosen for buffers, if it has chosen one: scans take turns there."""
        return None

    def look_up(self) -> None:
        """Find what the properties name outside the XML, such as a trained model. Raises `PipelineError`.

        It needs no scan: `kband check` calls it, and a worker of the server before its first scan.
        """

    def open(self, scan: Scan) -> None:
        """Resolve everything that can fail before the first line. Raises `PipelineError`."""

    def scan_behind(self, scan: Scan) -> Scan:
        """Return the scan as gadgets behind are to see it: lines may leave on another matrix. Called after `open`."""
        return scan

    def process(self, items: Iterable[Any]) -> Iterator[Any]:
        """Turn accepted items into emitted ones; the code after the loop is the flush at the end of the scan."""
        raise NotImplementedError

    @classmethod
    def label(cls) -> str:
        """The name used in XML and in messages."""
        return cls.twin_of or cls.__name__

    @classmethod
    def properties(cls) -> list[Property]:
        """List the declared properties in order."""
        hints = typing.get_type_hints(cls, include_extras=True)
        return [_property(field, hints[field.name]) for field in dataclasses.fields(cls)]

    @classmethod
    def from_properties(cls, values: Mapping[str, str]) -> Gadget:
        """Build the gadget from XML texts. Raises `PipelineError` naming the property, its value and what is right."""
        for name in sorted(cls.stock_only & values.keys()):
            raise cls._refusal(name, "honoured only by Gadgetron's own gadget, not by its twin here")
        known = {field.name for field in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                raise cls._refusal(name, f"no such property; properties are {', '.join(sorted(known)) or 'none'}")
        try:
            return TypeAdapter(cls).validate_python(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            problem = first["msg"][0].lower() + first["msg"][1:]
            name = next(map(str, first["loc"]), None)
            raise cls._refusal(name, f"{problem}, got '{first['input']}'") from error

    @classmethod
    def _refusal(cls, name: str | None, sentence: str) -> PipelineError:
        return PipelineError(sentence, gadget=cls.label(), property=name)


def gadget_class(name: str) -> type[Gadget]:
    """Look up a gadget by class name or by the stock name it is a twin of; import it if another package has it.

    Raises `PipelineError`, also for a foreign gadget that cannot be imported.
    """
    if name not in REGISTRY and name in foreign_names():
        try:
            import_foreign(name)
        except PipelineError:
            REGISTRY.pop(name, None)  # it may have come as far as its class; the next chain must not find it half there
            raise
        if name not in REGISTRY:
            raise PipelineError(f"gadget '{name}' of another package: its entry point leads to no gadget of that name")
    if name not in REGISTRY:
        raise PipelineError(f"no gadget '{name}'; gadgets are {', '.join(sorted({*REGISTRY, *foreign_names()}))}")
    return REGISTRY[name]


def _property(field: dataclasses.Field, hint: Any) -> Property:
    info = FieldInfo.from_annotation(hint)
    bare = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
    if typing.get_origin(bare) is typing.Literal:
        kind = " or ".join(str(choice) for choice in typing.get_args(bare) if choice)
    else:
        kind = getattr(bare, "__name__", str(bare))
    bounds = [f"{sign} {value}" for sign, value in _bounds(info)]
    default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    if field.default is dataclasses.MISSING:
        default = "required"
    return Property(field.name, " ".join([kind, *bounds]), default, info.description or "")


def _bounds(info: FieldInfo) -> Iterator[tuple[str, Any]]:
    for constraint in info.metadata:
        for sign, name in (("≥", "ge"), (">", "gt"), ("≤", "le"), ("<", "lt")):
            if hasattr(constraint, name):
                yield sign, getattr(constraint, name)


field = pydantic.Field
Device = typing.Annotated[str, field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")]
