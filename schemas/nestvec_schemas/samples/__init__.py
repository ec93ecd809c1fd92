"""Samples of real texts that rotations and maps are fitted on."""
