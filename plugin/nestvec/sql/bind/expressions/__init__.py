"""Scalar expressions of the select list, ORDER BY, GROUP BY and SET."""
