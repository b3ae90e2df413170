"""`soter`, the customer's and auditor's command."""
