"""Settings of the whole suite, made before anything loads OpenMP."""

import os
import signal

from hypothesis import settings

# As the command line sets it: spinning threads slow small kernels many times over on busy cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Started in the background by a shell, a process ignores SIGINT and so do its children: tests of Ctrl-C would wait for
# what never comes.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine makes an example slow, not wrong.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
