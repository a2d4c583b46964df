"""How a message leaves, and how proof of it comes back.

A channel is one adapter for one provider (`model.Channel`): it turns a `Message` into one request
and the provider's answer into one of four words per recipient: Accepted, Deferred (nothing was
sent, later may work), Rejected (nothing was sent and never will be), Unclear (it may have been
sent). It neither waits nor retries, and knows no database, customer or template; pacing is
arithmetic (`pacing`), done by whoever releases messages.

Add a channel in four steps:

1. a word and a code in `model.ChannelKind`, a section in `settings.ChannelSettings`;
2. a file named after the provider: its codes as a table on top, a class with `kind`, `provider`,
   `batch_limit`, `atomic_batches`, `send` and `close`, all exchanges through `transport.exchange`;
   if the provider calls back or can be asked, also `receipts` (`model.TellsReceipts`) or `look_up`
   (`model.AnswersLookUps`);
3. a line in `registry.build_channels`;
4. a line in `tests/channels/adapters.py`, which makes it run the conformance suite, and a test that
   walks its table.
"""
