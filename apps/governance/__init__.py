"""Governance: which system is right about what, and which value there means which value here, as versioned data."""
