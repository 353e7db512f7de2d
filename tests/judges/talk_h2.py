"""Asks over HTTP/2 as strictly as h2 does: ADDRESS PORT. Fifty streams at once, half of them with a body that comes back; any
breach of the protocol by the server is an exception."""

import socket
import ssl
import sys

import h2.connection
import h2.events

STREAMS = 50
context = ssl._create_unverified_context()
context.set_alpn_protocols(["h2"])
stream = context.wrap_socket(socket.create_connection((sys.argv[1], int(sys.argv[2])), 30), server_hostname="shop.test")
assert stream.selected_alpn_protocol() == "h2"
connection = h2.connection.H2Connection()
connection.initiate_connection()
bodies, expected, answered, trailed = {}, {}, 0, 0
for number in range(STREAMS):
    identity = connection.get_next_available_stream_id()
    sends = number % 2 == 1
    head = [(":method", "POST" if sends else "GET"), (":scheme", "https"), (":path", f"/{number}"), (":authority", "shop.test")]
    connection.send_headers(identity, head, end_stream=not sends)
    expected[identity] = b"%d" % number * 100 if sends else b"nothing"
    if sends:
        connection.send_data(identity, expected[identity], end_stream=True)
    bodies[identity] = b""
stream.sendall(connection.data_to_send())
while answered < STREAMS:
    data = stream.recv(65536)
    assert data, "the server closed"
    for event in connection.receive_data(data):
        if isinstance(event, h2.events.ResponseReceived):
            assert dict(event.headers)[b":status"] == b"200", event.headers
        elif isinstance(event, h2.events.DataReceived):
            bodies[event.stream_id] += event.data
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            assert bodies[event.stream_id] == expected[event.stream_id], bodies[event.stream_id]
            answered += 1
        elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
            raise AssertionError(event)
    stream.sendall(connection.data_to_send())
connection.ping(b"pointsmn")
stream.sendall(connection.data_to_send())
while not any(isinstance(event, h2.events.PingAckReceived) for event in connection.receive_data(stream.recv(65536))):
    pass
print(f"{answered} answered")
