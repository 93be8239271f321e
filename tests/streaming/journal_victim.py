"""A process that journals line after line until it is killed; after each it prints how many `append` has taken."""

import os
import sys

from pipelines.files.mrd_file import RawFile
from pipelines.hosts.journal import Journal
from pipelines.protocol.messages import encode_line

if __name__ == "__main__":
    scan, folder = sys.argv[1:]
    with RawFile(scan) as raw:
        header, messages = raw.header_xml, [encode_line(line) for line in raw]
    journal = Journal.begin(folder, "victim", header, pipeline="sense")
    n_lines = 0
    while True:
        journal.append(messages[n_lines % len(messages)])
        n_lines += 1
        os.write(1, n_lines.to_bytes(8, "little"))
