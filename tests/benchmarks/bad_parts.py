"""Parts of the GPU report that go wrong."""

import os
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Bad:
    """A part that yields a row and then does as its name says."""

    name: str

    def rows(self, here):
        from gpu_parts.row import Row

        yield Row("before")
        if self.name == "raises":
            raise RuntimeError("CUDA error: an illegal memory access\nwas encountered")
        if self.name == "dies":
            os._exit(9)
        if self.name == "hangs":
            time.sleep(600)
