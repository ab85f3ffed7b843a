"""Small pieces that every system shares: guarantees, answers, randomness, files, figures, console."""
