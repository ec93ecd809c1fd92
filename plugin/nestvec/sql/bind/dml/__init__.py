"""INSERT, UPDATE and ON CONFLICT: values as the columns take them."""
