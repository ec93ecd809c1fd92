"""Measuring encoders: how much quality each length, exit, precision and form of their vectors keeps."""
