"""Placed items in a trained field: the model and pipeline that show them."""
