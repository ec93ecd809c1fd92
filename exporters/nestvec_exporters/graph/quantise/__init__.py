"""Int8 and int4: weights and activations by measured ranges, activations by each batch, or weights alone."""
