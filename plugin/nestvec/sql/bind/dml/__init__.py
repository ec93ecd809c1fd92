"""Values of INSERT and UPDATE as their columns take them, and ON CONFLICT."""
