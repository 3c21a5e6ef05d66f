"""What the product is measured against: runs under the peers' own interpreter and imports no product code."""
