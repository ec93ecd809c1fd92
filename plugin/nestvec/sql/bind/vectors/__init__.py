"""What ranks the rows: distances, their targets, fusion, reranking, families of vector columns."""
