"""An error knows which property it is about: nobody cuts the name out of a sentence."""

import pytest

from gadgets.errors import PipelineError
from gadgets.gadget import gadget_class


@pytest.mark.parametrize(
    ("gadget", "values"),
    [
        ("SenseRecon", {"n_iterations": "many"}),
        ("SenseRecon", {"n_iteration": "5"}),
        ("BucketToBufferGadget", {"verbose": "true"}),
    ],
)
def test_the_property_that_is_refused_is_named(gadget, values):
    """In a field and in front of the sentence."""
    with pytest.raises(PipelineError) as refused:
        gadget_class(gadget).from_properties(values)
    (name,) = values
    assert (refused.value.gadget, refused.value.property) == (gadget, name)
    assert str(refused.value).startswith(f"{gadget}.{name}: ")


def test_a_sentence_without_a_property_stands_alone():
    """Most errors are about the scan."""
    error = PipelineError("MRD header: 0 encodings, at least 1 expected")
    assert (str(error), error.gadget, error.property) == ("MRD header: 0 encodings, at least 1 expected", None, None)
