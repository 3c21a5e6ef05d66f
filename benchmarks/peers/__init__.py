"""What the product is measured against. Runs under the interpreter of the peers' own environment and imports no product code."""
