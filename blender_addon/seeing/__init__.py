"""What the animator sees of a take: jitter, spikes, gaps, trails."""
