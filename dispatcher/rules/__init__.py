"""Pure decisions: states and allowed moves, shown status, policy, backoff. No I/O, no clock of its own."""
