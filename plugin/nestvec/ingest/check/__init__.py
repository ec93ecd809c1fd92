"""What is noticed of the rows of a file: before anything is written, and while they are."""
