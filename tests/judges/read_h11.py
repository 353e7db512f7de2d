"""What h11 reads. Each line of the input is `requests` or `answers` and pieces in hexadecimal; each line of the output is JSON."""

import json
import sys

import h11


def plain(head):
    first = f"{head.method.decode()} {head.target.decode('latin-1')}" if isinstance(head, h11.Request) else str(head.status_code)
    lines = [[name.decode().lower(), bytes(value).hex()] for name, value in head.headers]
    return {"first": first, "headers": lines, "body": b""}


def told(message):
    return message and dict(message, body=message["body"].hex())


def ask(connection):
    """A client's side is ready for the next answer once it has asked."""
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())


def answer(connection):
    connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
    connection.send(h11.EndOfMessage())


def read(serves, pieces):
    old = False
    connection = h11.Connection(h11.SERVER if serves else h11.CLIENT, max_incomplete_event_size=65536)
    if not serves:
        ask(connection)
    whole, begun = [], None

    def end(how, why=""):
        return {"messages": [told(m) for m in whole], "begun": told(begun), "end": how, "why": why}

    try:
        for piece in pieces:
            connection.receive_data(piece)
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    break
                if event is h11.PAUSED:
                    return end("last")
                if isinstance(event, (h11.Request, h11.Response)):
                    begun = plain(event)
                    old = event.http_version == b"1.0"
                elif isinstance(event, h11.Data):
                    begun["body"] += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    whole.append(begun)
                    begun = None
                    if serves:
                        answer(connection)
                    if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                        return end("last", "HTTP/1.0" if old else "")
                    connection.start_next_cycle()
                    if not serves:
                        ask(connection)
    except h11.RemoteProtocolError as error:
        begun = None
        return end("refused", str(error))
    return end("within" if begun or connection.trailing_data[0] else "between")


for line in sys.stdin:
    side, *pieces = line.split()
    print(json.dumps(read(side == "requests", [bytes.fromhex(piece) for piece in pieces])), flush=True)
