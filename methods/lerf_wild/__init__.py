"""The language field: nerfacto plus a field that tells where a phrase is, and at which size."""
