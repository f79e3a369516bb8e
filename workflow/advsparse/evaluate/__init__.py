"""From attacked images to evaluation rows: rates and sizes with confidence intervals."""
