"""What runs a batch: ONNX Runtime in this process; a fake one for tests."""
