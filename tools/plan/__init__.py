"""What a wake plan costs: charge a day by cause, battery life, and the same on the twin."""
