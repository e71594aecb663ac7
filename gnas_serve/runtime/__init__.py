"""The request path: from a user to ranked items, torch-free."""

import os

# From 1.29 on ONNX Runtime tells its makers of every process and model that loads it, on Linux and macOS too. It reads
# this when it is loaded, which the modules below do: whoever imports them, a Bento's workers too, has it set by then.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
