"""Figures made from files alone: every function takes arrays and returns a matplotlib Figure."""
