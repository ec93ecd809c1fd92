"""What rows are ranked by: distances, targets, rankings, thresholds and families of vector columns."""
