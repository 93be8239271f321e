"""Images for others' tools: DICOM, NIfTI, NumPy, BART."""
