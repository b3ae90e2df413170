"""The JSON bodies of the coordinator's REST interface, shared by those who answer and those who ask."""
