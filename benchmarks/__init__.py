"""Speed beside published libraries and the papers' figures: ``make bench``."""
