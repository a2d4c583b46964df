"""HTTP: the API, receipts, the banner, and the few pages people see. `app` puts them together."""
