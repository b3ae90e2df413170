"""The node manager: registration, certificates, liveness, unregistration."""
