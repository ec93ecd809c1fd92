"""A tower as one ONNX graph: tracing, pooling, exits, precision, Triton and TensorRT."""
