"""Files of ready ONNX graphs."""
