"""Who scores the blocks: this process, its workers, a cluster, a program of the user."""
