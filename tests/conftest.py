"""Settings of the whole suite, made before anything loads OpenMP."""

import os

# As the command line sets it: spinning threads slow small kernels many times over on busy cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
