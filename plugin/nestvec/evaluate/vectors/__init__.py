"""The vectors that are measured: from the encoder, cached on disk window by window."""
