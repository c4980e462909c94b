"""The carrier's own services, besides the calls it brings: adapters over the `twilio` library."""
