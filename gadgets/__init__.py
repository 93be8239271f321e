"""What flows: streaming nodes and their items. Importing this package registers every gadget by its name."""

import warnings

with warnings.catch_warnings():  # the import puts a global warnings filter in front of ours
    import ismrmrd  # noqa: F401

from gadgets import stock  # noqa: F401
from gadgets.coils import coil_compression, coil_sensitivities, coil_whitening  # noqa: F401
from gadgets.receiving import acquisition_buffer, buffer_intake  # noqa: F401
from gadgets.recon import collect_planes, grappa_recon, kband_recon, raki_recon, sense_recon  # noqa: F401
