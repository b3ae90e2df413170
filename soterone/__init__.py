"""The parts that every party shares and that a customer imports."""

__version__ = "0.1.0"
