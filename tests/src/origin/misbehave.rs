//! A backend that misbehaves in the way the path names: `/truncate`, `/reset` and so on; any other path is answered well.

use super::{Origin, Reply, Step};
use std::time::Duration;

/// Time for the peer to read what stands before a reset, which would drop it.
const BEFORE_RESET: Duration = Duration::from_millis(50);

/// Long enough for the proxy to have put the connection aside.
const LATER: Duration = Duration::from_millis(20);

/// A new one. Its good answers are 200 with `well`.
pub fn misbehaving() -> Origin {
    Origin::new(|seen| {
        let (path, _) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        reply(path.trim_start_matches('/')).unwrap_or_else(|| Reply::named("well"))
    })
}

/// The answer of a mode; none when there is no such mode.
pub(crate) fn reply(mode: &str) -> Option<Reply> {
    let head = "HTTP/1.1 200 OK\r\n";
    let ends = |bytes: &str| Reply::bytes(bytes.to_owned()).then(Step::Close);
    let goes_on = |bytes: &str| Reply::bytes(bytes.to_owned());
    Some(match mode {
        "hang" => Reply::silence(),
        "early-close" => Reply::default().then(Step::Close),
        "cut-head" => ends(&format!("{head}Content-Le")),
        // Not understood at all.
        "garbage" => ends("BANANA nonsense\r\n\r\n"),
        "bad-status" => ends("HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nok"),
        "http-2.0-line" => ends("HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        "two-lengths" => ends(&format!("{head}Content-Length: 2\r\nContent-Length: 9\r\n\r\nok")),
        "negative-length" => ends(&format!("{head}Content-Length: -1\r\n\r\nok")),
        "nul-in-header" => ends(&format!("{head}X-A: a\0b\r\nContent-Length: 2\r\n\r\nok")),
        "space-before-colon" => ends(&format!("{head}X-A : a\r\nContent-Length: 2\r\n\r\nok")),
        "folded-header" => ends(&format!("{head}X-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok")),
        "bare-line-feeds" => ends("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        "huge-header" => goes_on(&format!("{head}Content-Length: 2\r\nX-Big: {}\r\n\r\nok", "a".repeat(1_000_000))),
        "many-headers" => {
            let lines: String = (0..3000).map(|n| format!("X-{n}: y\r\n")).collect();
            goes_on(&format!("{head}Content-Length: 2\r\n{lines}\r\nok"))
        }
        "unasked-101" => ends("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        "both-lengths" => {
            ends(&format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
        }
        // Understood, and broken off.
        "truncate" => ends(&format!("{head}Content-Length: 100\r\n\r\nshort")),
        "truncate-chunked" => ends(&format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")),
        "bad-chunk" => ends(&format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\nhello\r\n0\r\n\r\n")),
        "reset" => goes_on(&format!("{head}Content-Length: 100000\r\n\r\n{}", "x".repeat(5000)))
            .then(Step::Wait(BEFORE_RESET))
            .then(Step::Reset),
        "half-close" => goes_on(&format!("{head}Content-Length: 100\r\n\r\nhalf")).then(Step::HalfClose),
        // Too much of it.
        "extra-later" => {
            let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON";
            goes_on(&format!("{head}Content-Length: 2\r\n\r\nok"))
                .then(Step::Wait(LATER))
                .then(Step::Write(poison.into()))
        }
        "extra-chunks" => {
            let poison = "6\r\nPOISON\r\n0\r\n\r\n";
            goes_on(&format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{poison}"))
        }
        "extra-data" => {
            let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON";
            goes_on(&format!("{head}Content-Length: 2\r\n\r\nok{poison}"))
        }
        "body-204" => goes_on("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
        "chunks-204" => goes_on("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        "body-304" => goes_on("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        "103" => goes_on(&format!("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n{head}Content-Length: 2\r\n\r\nok")),
        "flood-100" => {
            goes_on(&format!("{}{head}Content-Length: 2\r\n\r\nok", "HTTP/1.1 100 Continue\r\n\r\n".repeat(5000)))
        }
        // Odd, and right.
        "until-close" => ends(&format!("{head}\r\nok")),
        "status-999" => goes_on("HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok"),
        "http-1.0" => ends("HTTP/1.0 200 OK\r\n\r\nok"),
        "trickle" => {
            let drop = || [Step::Wait(Duration::from_millis(100)), Step::Write(".".into())];
            Reply(
                std::iter::once(Step::Write(format!("{head}Content-Length: 30\r\n\r\n").into()))
                    .chain((0..30).flat_map(|_| drop()))
                    .collect(),
            )
        }
        _ => return None,
    })
}
