"""The report: one offline page that argues from the front to a decision, card by card."""
