"""Metrics of rankings, concept depth and isotropy: pure functions."""
