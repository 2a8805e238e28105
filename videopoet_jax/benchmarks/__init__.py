"""What `videopoet bench` measures, each beside a peer or a floor."""
