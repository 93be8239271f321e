"""Which line the scanner is to measure next, said while the scan runs."""
