"""The five steps, a panel each."""
