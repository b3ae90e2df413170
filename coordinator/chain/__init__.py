"""The coordinator's side of the chain: the outbox and the cursor in SQL, and what events do to the rows."""
