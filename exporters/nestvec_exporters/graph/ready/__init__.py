"""Ready ONNX graphs: reading them, and appending what a checkpoint declares after them."""
