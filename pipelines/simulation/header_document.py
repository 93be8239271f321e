"""MRD headers that we make, as XML."""

from __future__ import annotations

from xsdata.formats.dataclass.context import XmlContext
from xsdata.formats.dataclass.serializers import XmlSerializer
from xsdata.formats.dataclass.serializers.config import SerializerConfig

from gadgets.mrd import ismrmrd

NAMESPACE = "http://www.ismrm.org/ISMRMRD"


def header_document(header: ismrmrd.xsd.ismrmrdHeader) -> str:
    """Write an MRD header as the library's `ToXML` of 1.15 does.

    That of 1.14.0, which stands in Gadgetron's own environment, cannot be called beside the xsdata 24.5 that stands
    there too: it hands over by place what has moved.
    """
    serializer = XmlSerializer(context=XmlContext(), config=SerializerConfig(encoding="ascii", indent=" "))
    return serializer.render(header, ns_map={"": NAMESPACE})
