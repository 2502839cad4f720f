"""One module per card: `data` is pure and tested, `figure` draws it, `card` puts both on the page."""
