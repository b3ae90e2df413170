"""The database's tables. Times are Unix seconds by the database's clock; accounts, ids and hashes are text."""
