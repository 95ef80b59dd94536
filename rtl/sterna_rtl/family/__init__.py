"""What an FPGA family does better than a description of its behaviour would have it do."""
