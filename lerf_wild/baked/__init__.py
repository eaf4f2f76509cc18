"""A baked scene: points with what they look like to the encoder, asked with numpy alone."""
