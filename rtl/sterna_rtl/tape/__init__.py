"""From the tape RAM to unpacked words."""
