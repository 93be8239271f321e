"""What flows: streaming nodes and their items. Importing this package registers every gadget by its name."""

import warnings

with warnings.catch_warnings():  # the import puts a global warnings filter in front of ours
    import ismrmrd  # noqa: F401

from gadgets import (  # noqa: F401
    acquisition_buffer,
    buffer_intake,
    coil_compression,
    coil_sensitivities,
    coil_whitening,
    collect_planes,
    grappa_recon,
    kband_recon,
    raki_recon,
    sense_recon,
    stock,
)
