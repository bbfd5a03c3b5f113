"""What quantizing each layer costs in KL divergence, and recipes that spend a byte budget by it."""
