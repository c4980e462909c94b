"""The browser phone: a page that calls the agent without a telephone number.

`phone_page` has the routes, `browser_call` one call, `agent_parts` what the agent says in it. The
page is for a person's ears and eyes only: the simulator of Twilio (`agent/simulator`) makes the
call, on this service's own webhook and relay socket, with Twilio's rules for what is heard.
Nothing on the path of a call imports this room.
"""
