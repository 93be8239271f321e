"""What flows: streaming nodes and their items. Importing this package registers every gadget by its name."""

from gadgets import mrd, stock  # noqa: F401 - mrd first, before anybody imports the library
from gadgets.active import active_acquisition  # noqa: F401
from gadgets.coils import coil_compression, coil_sensitivities, coil_whitening, shared_phase, sound_lines  # noqa: F401
from gadgets.epi import epi_lines  # noqa: F401
from gadgets.images import echoes, water_fat  # noqa: F401
from gadgets.receiving import acquisition_buffer, buffer_intake, multiband_buffer, trajectory_buffer  # noqa: F401
from gadgets.recon import (  # noqa: F401
    collect_planes,
    grappa_recon,
    kband_recon,
    multiband_sense_recon,
    nufft_kband_recon,
    nufft_sense_recon,
    pkt_recon,
    raki_recon,
    sense_recon,
)
