"""Who is affected: accounts, contacts, endpoints, what they use and want, and whom to tell."""
