"""Language: encoders, image pyramids, relevancy, metric scale and its metrics."""
