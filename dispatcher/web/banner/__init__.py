"""The banner inside the customer's product: items computed on connect, streamed, and acknowledged."""
