"""What other systems send, in their own words: one adapter per sender, one door for all."""
