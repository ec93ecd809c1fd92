"""What all parts of nestvec agree on: manifest, model repository, nested vectors, errors."""
