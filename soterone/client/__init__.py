"""The customer's SDK: sign in, look at the catalog, order a query, follow it, open and check its model."""
