"""Talks over WebSockets, and is echoed: URL [CA]."""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect


async def main():
    context = ssl.create_default_context(cafile=sys.argv[2]) if len(sys.argv) > 2 else None
    name = {"server_hostname": "shop.test"} if context else {}
    async with connect(sys.argv[1], ssl=context, max_size=None, proxy=None, **name) as connection:
        for message in ["text", "café", b"bytes", b"", "x" * 70_000, b"y" * 1_000_000]:
            await connection.send(message)
            assert await connection.recv() == message
        await connection.send(["in ", "several ", "pieces"])
        assert await connection.recv() == "in several pieces"
        await asyncio.wait_for(await connection.ping(), 20)
        await connection.close(4321, "enough")
        assert connection.close_code == 4321, connection.close_code
    print("echoed")


asyncio.run(main())
