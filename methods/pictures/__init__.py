"""What the methods that learn from pictures with known answers share: air, raw and genzoo."""
