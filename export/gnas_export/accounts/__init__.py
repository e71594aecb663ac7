"""Accounts: what an artifact says of itself: where it comes from, what each step did, a card, a bill of materials."""
