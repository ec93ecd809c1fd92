"""Training of a linear map after pooling, on vectors that are computed once."""
