"""The MRD library, imported so that a program's warnings stay as they were: it would show every one of them."""

import warnings

with warnings.catch_warnings():
    import ismrmrd

__all__ = ["ismrmrd"]
