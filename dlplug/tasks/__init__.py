"""What is learned: Lightning modules over any architecture, one file each."""
