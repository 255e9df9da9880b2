"""Servers of slides answer who knows their address, a few requests at a time."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.web import Application

from dicomslide.errors import FrameError, StoreError
from dicomslide.serving.access import LOOPBACK, Access, GuardedHandler, is_loopback, listen
from dicomslide.serving.pool import BusyError, Pool

ORIGIN = "https://viewer.example"


class Answer(GuardedHandler):
    """Answers with what a function returns, on another thread."""

    def initialize(self, access: Access, pool: Pool, function: Callable[[], str]) -> None:
        super().initialize(access, pool)
        self.function = function

    async def get(self, _: str) -> None:
        self.finish(await self.perform(self.function))


@asynccontextmanager
async def serving(
    function: Callable[[], str], pool: Pool | None = None, access: Access | None = None
) -> AsyncIterator[str]:
    """Serve the answer of a function; gives the address without the token."""
    settings = {"access": access or Access(token="right"), "pool": pool or Pool(1)}
    server = HTTPServer(
        Application([("/([^/]*)/answer", Answer, settings | {"function": function})])
    )
    opened = listen(LOOPBACK, 0)
    server.add_socket(opened)
    try:
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
    finally:
        server.stop()
        settings["pool"].close()
        await server.close_all_connections()


async def fetch(url: str, **options: object) -> HTTPResponse:
    return await AsyncHTTPClient(force_instance=True).fetch(url, raise_error=False, **options)


class TestToken:
    @pytest.mark.parametrize("token", ["wrong", "righ", "right1", "%20right", "r%C3%ACght", ""])
    def test_a_wrong_token_is_forbidden(self, token):
        async def ask():
            async with serving(lambda: "pixels") as address:
                return await fetch(f"{address}/{token}/answer")

        response = asyncio.run(ask())
        assert (response.code, response.body) == (403, b"403 Forbidden\n")

    def test_the_right_token_is_answered(self):
        async def ask():
            async with serving(lambda: "pixels") as address:
                return await fetch(f"{address}/right/answer")

        response = asyncio.run(ask())
        assert (response.code, response.body) == (200, b"pixels")
        assert response.headers["Referrer-Policy"] == "no-referrer"

    def test_each_server_has_another_token_which_is_not_shown(self):
        tokens = {Access().token for _ in range(100)}
        assert len(tokens) == 100
        # 24 bytes, six bits a character
        assert {len(token) for token in tokens} == {32}
        access = Access()
        assert access.token not in repr(access)


class TestOrigins:
    @pytest.mark.parametrize("path", ["right/answer", "wrong/answer"])
    @pytest.mark.parametrize("origin", [ORIGIN, "https://other.example", "null", None])
    def test_pages_of_others_may_not_read_the_answer(self, origin, path):
        async def ask():
            access = Access(frozenset({ORIGIN}), token="right")
            async with serving(lambda: "pixels", access=access) as address:
                headers = {"Origin": origin} if origin else {}
                return await fetch(f"{address}/{path}", headers=headers)

        response = asyncio.run(ask())
        allowed = response.headers.get("Access-Control-Allow-Origin")
        assert allowed == (ORIGIN if origin == ORIGIN else None)
        assert response.headers["Vary"] == "Origin"

    def test_pages_may_ask_for_ranges(self):
        async def ask():
            access = Access(frozenset({ORIGIN}), token="right")
            async with serving(lambda: "pixels", access=access) as address:
                return await fetch(
                    f"{address}/right/answer", method="OPTIONS", headers={"Origin": ORIGIN}
                )

        response = asyncio.run(ask())
        assert response.code == 204
        assert response.headers["Access-Control-Allow-Headers"] == "Range"
        assert response.headers["Access-Control-Allow-Methods"] == "GET, HEAD"


class TestErrors:
    @pytest.mark.parametrize(
        ("kind", "hint"),
        [
            (FrameError, b": pixels cannot be read, the log of the server says why"),
            (RuntimeError, b""),
        ],
    )
    def test_answers_say_nothing_of_the_machine_but_the_log_does(self, kind, hint, caplog):
        def fail() -> str:
            raise kind("/home/someone/slide.dcm: frame 3 is damaged")

        async def ask():
            async with serving(fail) as address:
                return await fetch(f"{address}/right/answer")

        response = asyncio.run(ask())
        assert (response.code, response.body) == (500, b"500 Internal Server Error" + hint + b"\n")
        assert "Server" not in response.headers
        assert "/home/someone/slide.dcm: frame 3 is damaged" in caplog.text
        assert "right" not in caplog.text


class TestListening:
    def test_other_machines_are_told_from_this_one(self):
        assert all(map(is_loopback, ["127.0.0.1", "127.1.2.3", "::1", "localhost"]))
        assert not any(map(is_loopback, ["0.0.0.0", "::", "", "192.0.2.1", "example.org"]))

    def test_a_port_that_is_taken_is_named(self):
        with listen(LOOPBACK, 0) as first:
            port = first.getsockname()[1]
            with pytest.raises(
                StoreError, match=rf"127\.0\.0\.1, port {port}: cannot listen there"
            ):
                listen(LOOPBACK, port)

    def test_an_address_that_there_is_not_is_named(self):
        with pytest.raises(StoreError, match=r"nowhere\.invalid, port 0: cannot listen there"):
            listen("nowhere.invalid", 0)

    @pytest.mark.parametrize("port", [-1, 65536])
    def test_a_port_that_there_is_not_is_named(self, port):
        with pytest.raises(ValueError, match=f"port: {port} is none"):
            listen(LOOPBACK, port)

    def test_version_6_of_the_protocol_has_a_loopback_too(self):
        with listen("::1", 0) as opened:
            assert opened.getsockname()[0] == "::1"


class TestPool:
    def test_so_many_threads_work_and_so_many_requests_wait(self):
        async def run():
            pool, go = Pool(threads=2, most_waiting=3), threading.Event()
            begun = [asyncio.create_task(pool.run(go.wait)) for _ in range(5)]
            await asyncio.sleep(0)
            with pytest.raises(BusyError, match="3 requests wait already"):
                await pool.run(go.wait)
            go.set()
            assert await asyncio.gather(*begun) == [True] * 5
            # There is room again
            assert await pool.run(lambda: "done") == "done"
            pool.close()

        asyncio.run(run())

    def test_work_that_nobody_waits_for_is_not_begun(self):
        async def run():
            pool, go, done = Pool(threads=1), threading.Event(), []
            first = asyncio.create_task(pool.run(go.wait))
            others = [asyncio.create_task(pool.run(lambda n=n: done.append(n))) for n in range(3)]
            await asyncio.sleep(0)
            others[1].cancel()
            go.set()
            await asyncio.gather(first, *others, return_exceptions=True)
            pool.close()
            return done

        assert asyncio.run(run()) == [0, 2]

    def test_work_is_done_beyond_work_that_failed(self):
        async def run():
            pool = Pool(threads=1)
            with pytest.raises(ZeroDivisionError):
                await pool.run(lambda: 1 // 0)
            result = await pool.run(lambda: 1)
            pool.close()
            return result

        assert asyncio.run(run()) == 1

    def test_too_many_requests_are_told_to_come_again(self):
        async def ask():
            go = threading.Event()
            pool = Pool(threads=1, most_waiting=0)
            async with serving(lambda: str(go.wait()), pool) as address:
                first = asyncio.create_task(fetch(f"{address}/right/answer"))
                while not pool._free.locked():
                    await asyncio.sleep(0.001)
                second = await fetch(f"{address}/right/answer")
                go.set()
                return await first, second

        first, second = asyncio.run(ask())
        assert (first.code, second.code) == (200, 503)
        assert second.headers["Retry-After"] == "1"

    def test_requests_whose_connection_is_closed_are_dropped(self):
        begun = []

        async def ask():
            go, pool = threading.Event(), Pool(threads=1)
            async with serving(lambda: begun.append("pixels") or "pixels", pool) as address:
                busy = asyncio.create_task(pool.run(go.wait))
                port = int(address.rpartition(":")[2])
                _, writer = await asyncio.open_connection(LOOPBACK, port)
                writer.write(b"GET /right/answer HTTP/1.1\r\nHost: here\r\n\r\n")
                while pool._waiting == 0:
                    await asyncio.sleep(0.001)
                writer.close()
                await writer.wait_closed()
                while pool._waiting:
                    await asyncio.sleep(0.001)
                go.set()
                await busy
                assert await pool.run(lambda: len(begun)) == 0

        asyncio.run(asyncio.wait_for(ask(), 30))
