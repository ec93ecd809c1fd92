"""The embedding service: tokenise, batch, run, cut, answer in the shape that was asked in."""
