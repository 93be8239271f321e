"""What worker and server say to each other beside the scan."""

READY, DONE = b"ready", b"done."
SCAN_ID_BYTES = 64
