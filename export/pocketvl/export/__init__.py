"""From a checkpoint to artifacts: graphs, lowering, bundle."""
