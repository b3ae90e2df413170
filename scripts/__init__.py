"""What runs, measures and deploys the project; nothing here is imported by it."""
