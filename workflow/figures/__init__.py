"""Figures made from files alone: of arrays, a matplotlib Figure."""
