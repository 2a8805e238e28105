"""The measurements of `videopoet bench`, each beside a peer or a floor."""
