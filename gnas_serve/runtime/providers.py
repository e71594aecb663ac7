"""What a ranker can compute on, by the names of ONNX Runtime; imported without it."""

from __future__ import annotations

CPU, CUDA = "cpu", "cuda"
PROVIDERS = {CPU: "CPUExecutionProvider", CUDA: "CUDAExecutionProvider"}
