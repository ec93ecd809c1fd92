"""From a client's inputs to model inputs: tokenizing, images, chat messages, truncation."""
