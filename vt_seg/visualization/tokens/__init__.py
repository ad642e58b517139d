"""The token explorer: what the tokens of a trained model attend to, as a page and a figure."""
