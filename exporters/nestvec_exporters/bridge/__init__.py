"""Maps from the space of one encoder into that of another, fitted on vectors of both."""
