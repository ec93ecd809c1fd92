"""What rerankers declare of their scores and of the texts around a query and a document."""
