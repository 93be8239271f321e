"""Who runs it: XML chains, the runner, hosts and the command line."""

import os

# Torch's threads wait in a busy loop by default; when other programs want the cores too, a 0.1 s reconstruction
# then takes seconds. Read once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
