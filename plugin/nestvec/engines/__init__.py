"""What runs a batch: ONNX Runtime in this process, or a Triton server; a fake one for tests."""
