"""Files of rows, texts, captions and relevance judgements, read and checked."""
