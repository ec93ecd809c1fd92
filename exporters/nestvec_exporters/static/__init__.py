"""Static encoders: tables of vectors, a row a token or word, read from every layout that they come in.

``reading`` says which file reads which layout; ``table`` is what all of them give.
"""
