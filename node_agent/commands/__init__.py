"""The commands of `soter-node`, one module for each thing that a person manages."""
