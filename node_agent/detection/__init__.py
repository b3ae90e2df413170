"""Detection: what this node answers to detectors drawn for it, and how it probes, judges and votes as one itself."""
