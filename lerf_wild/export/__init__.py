"""Writers that take results to other tools: PLY, LAS, CSV and their side file."""
