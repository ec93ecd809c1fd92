"""Bridges between two exported encoders: their vectors of a sample, the fit, and its installation."""
