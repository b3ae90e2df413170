"""The management system: node, dataset, query and resource managers."""
