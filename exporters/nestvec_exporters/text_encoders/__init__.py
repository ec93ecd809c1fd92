"""What single classes of text encoders need beyond a trace of what transformers runs."""
