"""What people look at: the page, the deck, the terminal view, figures and tables for papers, all without torch."""
