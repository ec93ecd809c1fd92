"""Scalar expressions of the select list, ORDER BY and GROUP BY."""
