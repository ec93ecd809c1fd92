"""The fixed inputs that an exported encoder and its source are compared on."""
