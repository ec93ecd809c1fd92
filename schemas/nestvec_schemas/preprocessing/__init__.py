"""Inputs to arrays, the same for export, the embedded engines and Triton."""
