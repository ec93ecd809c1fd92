"""Measuring encoders: what every length, exit, precision and form of their vectors keeps of their quality."""
