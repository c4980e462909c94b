"""Twilio: frames of the relay socket, TwiML, signatures, speech failover, REST API."""
