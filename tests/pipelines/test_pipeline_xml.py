"""Chains as read from XML."""

import re

import pytest

from gadgets.errors import PipelineError
from pipelines.chain.chain import Node, resolve, with_properties
from pipelines.chain.pipeline import Pipeline, installed_pipelines, installed_xml, load_xml
from pipelines.chain.xml import LARGEST_XML, read_chain, write_chain

GADGETS = """
  <gadget><dll>d</dll><classname>NoiseAdjustGadget</classname></gadget>
  <gadget><name>acc</name><dll>d</dll><classname>AcquisitionAccumulateTriggerGadget</classname>
    <property><name>trigger_dimension</name><value>slice</value></property></gadget>
"""
VERSION_2 = f"<configuration><version>2</version><stream>{GADGETS}</stream></configuration>"
BARE = f"<configuration>{GADGETS}</configuration>"
LEGACY = f"""<gadgetronStreamConfiguration xmlns="http://gadgetron.sf.net/gadgetron">
  <reader><slot>1008</slot><dll>d</dll><classname>r</classname></reader>{GADGETS}
  <writer><slot>1022</slot><dll>d</dll><classname>w</classname></writer></gadgetronStreamConfiguration>"""

TRIGGER = Node("AcquisitionAccumulateTriggerGadget", {"sorting_dimension": "slice"}, "acc", "d", False)


def refusal(text: str | bytes) -> str:
    """The sentence with which a pipeline is refused."""
    with pytest.raises(PipelineError) as refused:
        Pipeline.from_xml(text)
    return str(refused.value)


def stream(gadgets: str) -> str:
    return f"<configuration><version>2</version><stream>{gadgets}</stream></configuration>"


@pytest.mark.parametrize(
    ("text", "form", "is_external"),
    [(VERSION_2, "version 2", False), (LEGACY, "legacy", False), (BARE, "bare", True)],
)
def test_three_forms_hold_the_same_gadgets(text, form, is_external):
    """A chain means the same whoever hands it over; only a bare one came through an external node."""
    chain = read_chain(text)
    assert chain.form == form
    assert chain.remarks == ()
    assert chain.nodes == (
        Node("NoiseAdjustGadget", {}, None, "d", is_external),
        Node("AcquisitionAccumulateTriggerGadget", {"trigger_dimension": "slice"}, "acc", "d", is_external),
    )


def test_bytes_and_byte_order_marks_are_xml():
    """Vendors' tools write UTF-8 with a mark, or UTF-16."""
    text = f'<?xml version="1.0"?>{BARE}'
    assert read_chain(text.encode("utf-8-sig")) == read_chain(text.encode("utf-16")) == read_chain(text)


def test_external_is_flattened_in_place():
    """Here all gadgets run in one process, in the order of the XML."""
    chain = read_chain(installed_xml("sense"))
    names = [node.classname for node in chain.nodes]
    assert names.index("RemoveROOversamplingGadget") + 1 == names.index("AcquisitionBuffer")
    assert names.index("SenseRecon") + 1 == names.index("ImageArraySplitGadget")
    assert {node.is_external for node in chain.nodes if node.dll is None} == {True}
    assert [external.connect for external in chain.externals] == [None]
    assert chain.externals[0].execute == {"name": "pipelines.hosts", "target": "external", "type": "python"}


@pytest.mark.parametrize("name", sorted(installed_pipelines()))
def test_installed_pipelines_are_built(name):
    """Every pipeline we ship can run here."""
    chain = read_chain(installed_xml(name))
    assert len(Pipeline.from_xml(installed_xml(name)).gadgets) == len(chain.nodes)
    assert chain.remarks == chain.absent == ()


REFUSED = {
    "<!DOCTYPE a [<!ENTITY e 'x'>]><configuration>&e;</configuration>":
        "pipeline XML: document types and entities are not accepted",
    "<!DOCTYPE configuration SYSTEM 'file:///etc/passwd'><configuration/>":
        "pipeline XML: document types and entities are not accepted",
    "": "pipeline XML: no element found: line 1, column 0",
    "<?xml version='1.0' encoding='klingon'?><configuration/>": "pipeline XML: unknown encoding: klingon",
    "<html/>": "pipeline XML: root is <html>, expected <configuration> or <gadgetronStreamConfiguration>",
    "<configuration><stream/></configuration>": "pipeline XML: version is '', expected 2",
    "<configuration><version>3</version><stream/></configuration>": "pipeline XML: version is '3', expected 2",
    "<configuration/>": "<configuration> holds 0 gadgets, at least 1 expected",
    stream("<parallel/>"): "<parallel> is not supported: a chain must be one line of gadgets",
    stream("<distributed/>"): "<distributed> is not supported: a chain must be one line of gadgets",
    stream("<parallelprocess/>"): "<parallelprocess> is not supported: a chain must be one line of gadgets",
    stream("<gadget/>"): "a <gadget> has no <classname>",
    stream("<gadget><classname>ImageFinishGadget</classname><property value='1'/></gadget>"):
        "ImageFinishGadget: a <property> has no name",
    stream("<external><connect port='9100'/></external>"):
        "<external> has no <configuration>: our host would receive no gadgets",
    " " * LARGEST_XML + "x": "pipeline XML has 1,000,001 bytes, at most 1,000,000 are accepted",
}  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_no_chain_is_refused(text, sentence):
    """XML may come from the network: nothing in it may read files, swell in memory, or raise anything else."""
    assert refusal(text) == sentence


def test_the_size_is_that_of_the_bytes():
    """A character of an umlaut has two bytes."""
    assert refusal("ü" * (LARGEST_XML // 2 + 1)).startswith("pipeline XML has 1,000,002 bytes")


def test_wrong_neighbours_word_by_word():
    """A chain that cannot work is refused before the patient is scanned."""
    text = "".join(f"<gadget><classname>{name}</classname></gadget>" for name in ("SenseRecon", "AutoScaleGadget"))
    assert refusal(stream(text)) == "AutoScaleGadget accepts Image, but SenseRecon before it emits ImageArray"


def test_a_remark_does_not_refuse():
    """Unknown elements are named, not obeyed."""
    chain = read_chain(stream("<comment/><gadget><classname>ImageFinishGadget</classname></gadget>"))
    assert chain.remarks == ("<comment> is not known here and is ignored",)


def test_references_are_resolved():
    """`property@gadget` is Gadgetron's way to give two gadgets one value."""
    properties = {"N_dimension": "sorting_dimension@acc", "split_slices": "1"}
    second = Node("BucketToBufferGadget", properties, None, "d", False)
    assert resolve(second, (TRIGGER, second)) == {"N_dimension": "slice", "split_slices": "1"}


@pytest.mark.parametrize(("wanted", "at"), [("sorting_dimension", "other"), ("trigger", "acc")])
def test_dangling_references_are_refused(wanted, at):
    """Gadgetron would make them empty where the gadget has no name."""
    second = Node("BucketToBufferGadget", {"N_dimension": f"{wanted}@{at}"}, None, "d", False)
    with pytest.raises(PipelineError) as refused:
        resolve(second, (TRIGGER, second))
    flaw = f"'{wanted}@{at}' refers to nothing; no gadget is named '{at}' with '{wanted}'"
    assert str(refused.value) == f"BucketToBufferGadget.N_dimension: {flaw}"


@pytest.mark.parametrize("name", ["../sense", "/etc/passwd", "pipelines/sense", "sense.xml.xml", "", ".xml", "sense\n"])
def test_only_installed_names_are_read(name):
    """The name may come from the network: it must not lead to a file."""
    with pytest.raises(PipelineError, match=f"^no pipeline '{re.escape(name)}'; installed are "):
        installed_xml(name)


def test_a_pipeline_is_a_name_or_an_xml_file(tmp_path):
    """The command line takes both; what is neither is refused by name."""
    path = tmp_path / "mine.xml"
    path.write_text(BARE)
    assert load_xml(str(path)) == BARE.encode()
    assert load_xml("sense") == load_xml("sense.xml") == installed_xml("sense")
    with pytest.raises(PipelineError, match=r"other\.xml'; installed are"):
        load_xml(str(tmp_path / "other.xml"))


def test_properties_are_set_on_the_value():
    """In every gadget of that name; the chain itself stays as it was."""
    chain = read_chain(installed_xml("sense"))
    changed = with_properties(chain, {"SenseRecon.n_iterations": "7", "CoilCompression.n_coils": "8"})
    given = {node.classname: node.properties for node in changed.nodes if node.properties}
    assert given == {"SenseRecon": {"n_iterations": "7"}, "CoilCompression": {"n_coils": "8"}}
    assert with_properties(chain, {}) == chain == read_chain(installed_xml("sense"))


def test_properties_of_no_gadget_are_refused():
    """A typing error would change nothing, in silence."""
    with pytest.raises(PipelineError, match=r"^no gadget 'SensRecon' in the pipeline; it has NoiseAdjustGadget, "):
        with_properties(read_chain(installed_xml("sense")), {"SensRecon.n_iterations": "7"})


@pytest.mark.parametrize("name", sorted(installed_pipelines()))
def test_a_chain_is_written_as_it_is_read(name):
    """What a worker builds is what was asked for; references are resolved on the way."""
    chain = read_chain(installed_xml(name))
    chain = with_properties(chain, {f"{chain.nodes[0].classname}.written": "<&\">"})
    again = read_chain(write_chain(chain))
    assert [(node.classname, node.properties) for node in again.nodes] == [
        (node.classname, node.properties) for node in chain.nodes
    ]


@pytest.mark.parametrize("tag", ["external", "property"])
def test_depth_is_bounded(tag):
    """3,000 nested nodes would end the reader with a traceback."""
    opened, closed = ("<external><configuration>", "</configuration></external>") if tag == "external" else (
        f"<{tag}>", f"</{tag}>"
    )  # fmt: skip
    assert refusal(stream(3000 * opened + 3000 * closed)) == "pipeline XML is nested more than 20 deep"


def test_the_number_of_gadgets_is_bounded():
    """Each may hold maps of its own."""
    gadgets = 501 * "<gadget><classname>CoilWhitening</classname></gadget>"
    assert refusal(stream(gadgets)) == "pipeline XML has 501 gadgets, at most 500 are accepted"
