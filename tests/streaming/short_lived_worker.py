"""The real worker, which retires after two scans."""

import sys

from pipelines.hosts import worker

if __name__ == "__main__":
    worker.SCANS_PER_LIFE = 2
    worker.main(int(sys.argv[1]), int(sys.argv[2]))
