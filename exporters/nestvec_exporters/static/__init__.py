"""Static encoders: tables with a vector per token or word, read from every format they come in.

``table_layouts`` selects the reader of a format; ``table`` is what all readers return.
"""
