"""The linter: each trap of Gadgetron's XML in a chain that is flawless otherwise."""


import pytest

from pipelines.chain.lint import Finding, lint
from pipelines.chain.pipeline import installed_pipelines

EXECUTE = '<execute name="theirs" target="handle" type="python"/>'


def stock(classname: str, inside: str = "") -> str:
    return f"<gadget><dll>gadgetron_mricore</dll><classname>{classname}</classname>{inside}</gadget>"


def ours(classname: str, inside: str = "") -> str:
    return f"<gadget><classname>{classname}</classname>{inside}</gadget>"


def prop(name: str, value: str) -> str:
    return f'<property name="{name}" value="{value}"/>'


BEFORE = stock("NoiseAdjustGadget")
INSIDE = ours("AcquisitionBuffer") + ours("CoilSensitivities") + ours("SenseRecon")
AFTER = stock("ImageArraySplitGadget") + stock("ImageFinishGadget")
READERS = "<readers><reader/></readers>"
WRITERS = "<writers><writer/></writers>"


def external(inside: str, how: str = EXECUTE) -> str:
    return f"<external>{how}<configuration>{inside}</configuration></external>"


def chain(before: str = BEFORE, inside: str = INSIDE, after: str = AFTER, how: str = EXECUTE) -> str:
    gadgets = before + (external(inside, how) if inside else "") + after
    return f"<configuration><version>2</version>{READERS}{WRITERS}<stream>{gadgets}</stream></configuration>"


def errors(text: str) -> list[str]:
    """The sentences, of which none may be a warning."""
    assert {finding.severity for finding in lint(text)} <= {"error"}
    return [finding.sentence for finding in lint(text)]


def warnings(text: str) -> list[str]:
    """The sentences, of which none may be an error."""
    assert {finding.severity for finding in lint(text)} <= {"warning"}
    return [finding.sentence for finding in lint(text)]


def test_a_flawless_chain_has_no_findings():
    """Else every sentence below could come from the rest of the chain."""
    assert lint(chain()) == []


@pytest.mark.parametrize("name", sorted(installed_pipelines()))
def test_shipped_pipelines_have_no_flaw(name):
    """What we install must work as it is, and Gadgetron must be able to start our part."""
    assert lint(installed_pipelines()[name].read_bytes()) == []


def test_unreadable_xml_is_an_error():
    """The linter reports what the reader refuses."""
    sentence = "<parallel> is not supported: a chain must be one line of gadgets"
    assert lint(chain(before="<parallel/>")) == [Finding("error", sentence)]


def test_unknown_gadgets_get_close_names():
    """A typing error is the usual reason."""
    text = chain(before=stock("NoiseAdjustGadgte") + stock("Qwertz"), inside=INSIDE.replace("SenseR", "SensR"))
    assert errors(text) == [
        "no gadget 'NoiseAdjustGadgte'; close is NoiseAdjustGadget",
        "no gadget 'Qwertz'; kband doctor --gadgets lists them",
        "no gadget 'SensRecon'; close is SenseRecon or NufftSenseRecon",
    ]


def test_unknown_properties_get_close_names():
    """Gadgetron ignores an unknown property in silence."""
    inside = INSIDE.replace("</classname></gadget>", f"</classname>{prop('n_iteration', '5')}</gadget>")
    assert errors(chain(inside=inside)) == [
        "AcquisitionBuffer.n_iteration: no such property; properties are acs_lines, device, join_echoes",
        "CoilSensitivities.n_iteration: no such property; properties are acs_lines, method, n_sets",
        "SenseRecon.n_iteration: no such property; close is n_iterations",
    ]
    assert errors(chain(after=stock("ImageArraySplitGadget", prop("order", "1")))) == [
        "ImageArraySplitGadget.order: no such property; properties are none"
    ]


def test_every_wrong_value_is_found():
    """All in one go: a pipeline is not mended by one flaw a day."""
    given = {"n_iterations": "many", "regularisation": "7", "on_failure": "raise", "device": ""}
    wrong = ours("SenseRecon", "".join(prop(*item) for item in given.items()))
    known = "deadline, n_iterations, on_failure, partial_fourier, regularisation"
    assert sorted(errors(chain(inside=ours("AcquisitionBuffer") + wrong))) == [
        f"SenseRecon.device: no such property; properties are {known}",
        "SenseRecon.n_iterations: input should be a valid integer, unable to parse string as an integer, got 'many'",
        "SenseRecon.regularisation: input should be less than or equal to 1, got '7'",
    ]


def test_what_only_the_stock_gadget_honours():
    """Off Gadgetron the twin refuses rather than reconstruct otherwise than the site asked."""
    verbose = prop("verbose", "true")
    buffered = stock("AcquisitionAccumulateTriggerGadget") + stock("BucketToBufferGadget", verbose)
    assert warnings(chain(before=buffered, inside=ours("BufferIntake") + ours("SenseRecon"))) == [
        "BucketToBufferGadget.verbose: honoured inside Gadgetron, refused by the runner here"
    ]
    twin = ours("AcquisitionAccumulateTrigger") + ours("BucketToBuffer", verbose)
    twin += ours("BufferIntake") + ours("SenseRecon")
    assert errors(chain(inside=twin)) == [
        "BucketToBufferGadget.verbose: honoured only by Gadgetron's own gadget, not by its twin inside <external>"
    ]


def test_neighbours_that_cannot_work():
    """Where the gadget between them is unknown, nothing is said of the neighbours."""
    after = stock("AutoScaleGadget")
    assert errors(chain(after=after)) == ["AutoScaleGadget accepts Image, but SenseRecon before it emits ImageArray"]
    assert errors(chain(after=stock("Qwertz") + after)) == ["no gadget 'Qwertz'; kband doctor --gadgets lists them"]


def test_references():
    """Gadgetron resolves `property@gadget` outside <external> only, and fails in two different ways."""
    trigger = stock("AcquisitionAccumulateTriggerGadget", "<name>acc</name>" + prop("sorting_dimension", "slice"))
    trigger += stock("BucketToBufferGadget", "NAME" + prop("N_dimension", "VALUE"))
    text = chain(before=trigger, inside=ours("BufferIntake") + ours("SenseRecon"))
    assert lint(text.replace("NAME", "").replace("VALUE", "sorting_dimension@acc")) == []
    flaw = "BucketToBufferGadget.N_dimension: 'slice@trig' refers to nothing; no gadget is named 'trig' with 'slice'"
    dangling = text.replace("VALUE", "slice@trig")
    assert errors(dangling.replace("NAME", "<name>b</name>")) == [f"{flaw}; Gadgetron refuses the pipeline"]
    assert errors(dangling.replace("NAME", "")) == [f"{flaw}; Gadgetron makes it empty without a word"]


def test_a_reference_to_a_wrong_value():
    """The value counts, wherever it stands."""
    trigger = stock("AcquisitionAccumulateTriggerGadget", "<name>acc</name>" + prop("sorting_dimension", "user_0"))
    trigger += stock("BucketToBufferGadget", prop("N_dimension", "sorting_dimension@acc"))
    (sentence,) = errors(chain(before=trigger, inside=ours("BufferIntake") + ours("SenseRecon")))
    assert sentence.startswith("BucketToBufferGadget.N_dimension: input should be 'average', ")
    assert sentence.endswith(", got 'user_0'")


def test_references_inside_external():
    """Gadgetron hands the inner chain over as it is written."""
    before = stock("NoiseAdjustGadget", "<name>noise</name>" + prop("perform_noise_adjust", "1"))
    inside = ours("AcquisitionBuffer") + ours("SenseRecon", prop("n_iterations", "perform_noise_adjust@noise"))
    assert errors(chain(before=before, inside=inside)) == [
        "SenseRecon.n_iterations: 'perform_noise_adjust@noise' is a reference, which Gadgetron does not resolve inside "
        "<external>; write the value"
    ]


def test_names_inside_external():
    """Gadgetron collects names from the whole document."""
    assert warnings(chain(inside=INSIDE.replace("<classname>Sense", "<name>s</name><classname>Sense"))) == [
        "SenseRecon inside <external> is named 's': Gadgetron takes it for one of its own gadgets; leave the <name> out"
    ]


def test_gadgets_outside_external():
    """There Gadgetron loads a library and a class of its own."""
    assert errors(chain(before=ours("NoiseAdjustGadget"))) == [
        "NoiseAdjustGadget has no <dll>: Gadgetron cannot load it"
    ]
    assert errors(chain(before=stock("NoiseAdjust"))) == [
        "NoiseAdjust stands outside <external>, where Gadgetron knows it as NoiseAdjustGadget"
    ]
    assert errors(chain(inside="", before=stock("AcquisitionBuffer") + stock("SenseRecon"))) == [
        f"{name} stands outside <external>, but Gadgetron has no such gadget; put it inside"
        for name in ("AcquisitionBuffer", "SenseRecon")
    ]


def test_ends_of_the_chain():
    """A scanner sends acquisitions and takes images; an inner chain may begin with buffers and end with anything."""
    assert errors(chain(after="")) == [
        "SenseRecon ends the chain and emits ImageArray, which Gadgetron drops for want of a writer; a chain must end "
        "with Image"
    ]
    assert errors(chain(before="", inside=ours("SenseRecon"))) == [
        "SenseRecon is the first gadget and accepts Calibration or ReconBuffer, but Acquisition arrives"
    ]
    assert lint(f"<configuration>{ours('BufferIntake')}{ours('SenseRecon')}</configuration>") == []
    assert errors(f"<configuration>{ours('AutoScaleGadget')}</configuration>") == [
        "AutoScaleGadget is the first gadget and accepts Image, but Acquisition or ReconData arrives"
    ]


def test_sections_that_version_2_needs():
    """Gadgetron runs such a chain to its end, and nothing comes of it."""
    assert warnings(chain().replace(READERS, "").replace(WRITERS, "<writers/>")) == [
        "no <readers>: Gadgetron will read nothing",
        "no <writers>: Gadgetron will write nothing",
    ]


def test_two_external_nodes():
    """No message of Gadgetron carries coil maps beside a buffer."""
    split = external(ours("AcquisitionBuffer") + ours("CoilSensitivities")) + external(ours("SenseRecon"))
    assert warnings(chain(inside="", before=BEFORE + split)) == [
        "2 <external> nodes: each is a process of its own, and neither calibration nor coil maps pass from one to the "
        "next; put their gadgets into one"
    ]


def test_flaws_of_the_xml():
    """Remarks of the reader come as warnings."""
    twice = stock("AutoScaleGadget", prop("max_value", "2") + prop("max_value", "3"))
    assert warnings(chain(after=AFTER + twice + "<gadgte/>")) == [
        "AutoScaleGadget.max_value is given twice; the last one counts",
        "<gadgte> is not known here and is ignored",
    ]


def test_the_legacy_form_is_flat_and_nested():
    """It knows neither <external> nor properties as attributes."""
    gadgets = BEFORE + external(INSIDE) + AFTER + stock("AutoScaleGadget", prop("max_value", "2"))
    assert warnings(f"<gadgetronStreamConfiguration>{gadgets}</gadgetronStreamConfiguration>") == [
        "<external> is not read by Gadgetron in the legacy form; write version 2",
        "AutoScaleGadget.max_value is written as attributes, which Gadgetron does not read in the legacy form; "
        "write <name> and <value>",
    ]


def test_oversampling_must_stay_where_samples_have_places():
    """Gadgetron's own gadget leaves the trajectory of what it cut away; inside our part the twin takes both."""
    trajectory = ours("TrajectoryBuffer") + ours("CoilSensitivities") + ours("NufftSenseRecon")
    sentence = ("RemoveROOversamplingGadget before TrajectoryBuffer: Gadgetron's own crops the samples, but not their "
                "trajectory; leave it out")  # fmt: skip
    assert lint(chain(inside=trajectory)) == []
    assert warnings(chain(before=BEFORE + stock("RemoveROOversamplingGadget"), inside=trajectory)) == [sentence]
