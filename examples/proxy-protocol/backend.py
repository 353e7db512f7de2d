"""Prints whom each connection is from, and answers with it: `python3 backend.py PORT`."""

import ipaddress
import socket
import struct
import sys


def exactly(connection, length):
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise ConnectionError("the head is cut off")
        data += more
    return data


def client(connection):
    """The client that a head of version 2 names; none when it is a check of Pointsman's own."""
    signature, command, family, length = struct.unpack("!12sBBH", exactly(connection, 16))
    assert signature == b"\r\n\r\n\0\r\nQUIT\n"
    rest = exactly(connection, length)
    if command == 0x20:
        return None
    size = 4 if family == 0x11 else 16
    (port,) = struct.unpack("!H", rest[2 * size : 2 * size + 2])
    return f"{ipaddress.ip_address(rest[:size])} port {port}"


server = socket.create_server(("127.0.0.1", int(sys.argv[1])), reuse_port=True)
while True:
    connection, _ = server.accept()
    with connection:
        try:
            who = client(connection)
            if who is None:
                continue
            while b"\r\n\r\n" not in connection.recv(65536):
                pass
            print(who, flush=True)
            body = f"you are {who}\n".encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        except (ConnectionError, struct.error):
            pass
