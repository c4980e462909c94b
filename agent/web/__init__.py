"""HTTP: Twilio's webhooks, the relay socket, health and metrics."""
