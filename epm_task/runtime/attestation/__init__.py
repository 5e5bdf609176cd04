"""Package attestation."""
