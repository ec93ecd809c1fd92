"""Maps from one encoder's space into another's, and those that have a closed form."""
