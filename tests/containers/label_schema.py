"""The facts of OpenRecon's label schema 1.1.0, as checks of our own: the vendor's file is not ours to hand on.

Written down from the schema that builders of public OpenRecon containers keep beside their labels ("OpenRecon Labels
Schema", draft 7): required and allowed keys, types, patterns, bounds. That one choice is named `config` stands in no
schema, but every such container has it so.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

NUMBER = r"(0|[1-9]\d*)"
Whole = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Tenths = Annotated[float, Field(multiple_of=0.1)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Text(BaseModel):
    """Further languages may stand beside English."""

    model_config = ConfigDict(extra="allow", strict=True)
    en: str


class Unit(Text):
    en: Annotated[str, Field(min_length=1, max_length=3)]


class Regulatory(Strict):
    device_trade_name: str
    production_identifier: str
    manufacturer_address: str
    made_in: str
    manufacture_date: str
    material_number: str
    gtin: str
    udi: str
    safety_advices: str
    special_operating_instructions: str
    additional_relevant_information: str


class General(Strict):
    name: Text
    version: Annotated[str, Field(pattern=rf"^{NUMBER}\.{NUMBER}\.{NUMBER}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$")]
    vendor: str
    information: Text
    id: str
    regulatory_information: Regulatory
    license_string: str | None = None


class TransferProtocol(BaseModel):
    protocol: Literal["ISMRMRD"]
    version: Literal["1.4.1"]


class ChannelCompression(Strict):
    require_state: Literal["on", "off"] | None = None
    require_number_target_channels: Annotated[int, Field(ge=1)] | None = None


class Reconstruction(Strict):
    transfer_protocol: TransferProtocol
    port: int
    emitter: Literal["raw", "image"]
    injector: Literal["compleximage", "image"]
    can_use_gpu: bool
    min_required_memory: Annotated[int, Field(ge=0)]  # MB
    min_count_required_cpu_cores: Annotated[int, Field(ge=1)]
    can_process_adjustment_data: bool | None = None
    min_count_required_gpus: Annotated[int, Field(ge=0)] | None = None
    min_required_gpu_memory: Annotated[int, Field(ge=0)] | None = None  # MB
    content_qualification_type: Literal["PRODUCT", "SERVICE", "RESEARCH"] | None = None
    require_readout_filter_off: bool | None = None
    channel_compression: ChannelCompression | None = None


class Parameter(Strict):
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")]
    label: Text
    information: Text | None = None


class Boolean(Parameter):
    type: Literal["boolean"]
    default: bool


class String(Parameter):
    type: Literal["string"]
    default: str | None = None
    isLargeText: bool | None = None


class Value(Strict):
    id: str
    name: Text


class Choice(Parameter):
    type: Literal["choice"]
    default: str
    values: Annotated[list[Value], Field(min_length=1)]

    @model_validator(mode="after")
    def default_is_offered(self) -> Choice:
        if self.default not in [value.id for value in self.values]:
            raise ValueError(f"{self.id}: the default '{self.default}' is not among the values")
        return self


class Int(Parameter):
    type: Literal["int"]
    minimum: Whole
    maximum: Whole
    default: Whole
    unit: Unit | None = None


class Double(Parameter):
    type: Literal["double"]
    minimum: Tenths
    maximum: Tenths
    default: Tenths
    unit: Unit | None = None


class Label(Strict):
    general: General
    reconstruction: Reconstruction
    parameters: Annotated[
        list[Annotated[Boolean | String | Choice | Int | Double, Field(discriminator="type")]], Field(max_length=14)
    ]

    @model_validator(mode="after")
    def one_choice_is_the_config(self) -> Label:
        names = [parameter.id for parameter in self.parameters]
        if len(set(names)) < len(names):
            raise ValueError("two parameters have the same id")
        if [parameter.type for parameter in self.parameters if parameter.id == "config"] != ["choice"]:
            raise ValueError("exactly one choice must be named config")
        return self
