"""The dataset metadata manager: masked metadata in, a catalog out."""
