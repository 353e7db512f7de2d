"""A backend that echoes what it is told over WebSockets. Prints its port; ends with its input."""

import asyncio
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError


async def echo(connection):
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosedError:
        # A close with a code of its own is a close.
        pass


async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
