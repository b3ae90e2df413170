"""An owner's datasets: inspected at home by a child process, masked, published, withdrawn."""
