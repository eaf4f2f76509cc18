"""Shapes from words: phrases of proportions, a conditional flow, and how both are measured."""
