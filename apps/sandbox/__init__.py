"""Emulated vendor systems over real HTTP, in a process of their own.

Public surface: the command ``python -m apps.sandbox`` and the URLs it serves (docs/sandbox.md).
Nothing of the product is imported here, and nothing imports this package.
"""
