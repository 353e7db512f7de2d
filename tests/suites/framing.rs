//! Requests that two readers could read in two ways, or that are no HTTP: refused, and no backend ever hears of them.
//! Written in bytes, for no library would send them. The numbers are those of the acceptance list.

use http::{HeaderValue, Method};
use pointsman::config::model::HeadLimit;
use pointsman_tests::{
    certs,
    client::{self, Client, Heard, Raw},
    edge,
    origin::{Origin, Seen},
    story::{PATIENCE, eventually},
};
use std::time::Duration;

/// What must happen to a case.
pub(super) enum Expect {
    /// Answered with one of these statuses; closed after it; no backend hears of it.
    Refused(&'static [u16]),
    /// As `Refused`, or closed without a word: what came was no HTTP/1.1 at all.
    RefusedOrClosed(&'static [u16]),
    /// As `Refused`, but the fault lies behind the head, and bodies stream: a backend may hear of a message that is
    /// broken off, never of a whole one.
    RefusedInBody,
    /// As `RefusedInBody`, told to nobody: the client has hung up.
    Aborted,
    /// Exactly these requests reach the backend, whole, and each is answered with 200.
    Served(&'static [&'static str]),
    /// One of both is right: refused, or exactly these requests.
    RefusedOrServed(&'static [&'static str]),
}

use Expect::{Aborted, Refused, RefusedInBody, RefusedOrClosed, RefusedOrServed, Served};

/// Number, name, bytes, expectation.
pub(super) type Case = (u8, &'static str, Vec<u8>, Expect);

const BAD: &[u16] = &[400];
const BAD_OR_NOT_IMPLEMENTED: &[u16] = &[400, 501];
const BAD_VERSION: &[u16] = &[400, 505];
const TOO_LARGE: &[u16] = &[431];
const TOO_LONG: &[u16] = &[414];

/// A request inside another's body: a backend that sees it was talked into a smuggled one.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n";
const SMUGGLED_LENGTH: usize = SMUGGLED.len();

fn post(headers: &str, body: &str) -> Vec<u8> {
    with_line("POST /own HTTP/1.1", headers, body)
}

fn get(headers: &str) -> Vec<u8> {
    with_line("GET /own HTTP/1.1", headers, "")
}

fn with_line(line: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("{line}\r\nHost: example.com\r\n{headers}\r\n{body}").into_bytes()
}

fn chunked(body: &str) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", body)
}

fn one_chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n0\r\n\r\n", data.len())
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// Fields of the header that say how long a body is.
fn lengths() -> Vec<Case> {
    let m = SMUGGLED;
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), m);
    let both = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n";
    let both_turned = "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n";
    let two = format!("Content-Length: 0\r\nContent-Length: {SMUGGLED_LENGTH}\r\n");
    vec![
        (1, "te+cl", post(both, &format!("0\r\n\r\n{m}")), Refused(BAD)),
        (1, "cl+te", post(both_turned, "0\r\n\r\nG"), Refused(BAD)),
        (2, "two lengths that differ", post(&two, m), Refused(BAD)),
        (2, "two lengths alike", post("Content-Length: 2\r\nContent-Length: 2\r\n", "ab"), RefusedOrServed(&["/own"])),
        (3, "a list of lengths", length(&format!("0, {SMUGGLED_LENGTH}")), Refused(BAD)),
        (4, "plus", length("+45"), Refused(BAD)),
        (4, "minus", length("-1"), Refused(BAD)),
        (4, "hexadecimal", length("0x2d"), Refused(BAD)),
        (4, "underscore", length("4_5"), Refused(BAD)),
        (4, "space inside", length("4 5"), Refused(BAD)),
        (4, "empty", length(""), Refused(BAD)),
        (
            4,
            "no-break space",
            [
                bytes("POST /own HTTP/1.1\r\nHost: example.com\r\nContent-Length: "),
                vec![0xa0],
                bytes("45\r\n\r\n"),
                bytes(m),
            ]
            .concat(),
            Refused(BAD),
        ),
        (5, "more than 64 bits", length("18446744073709551616"), Refused(BAD)),
        (5, "more than 64 bits, wrapping", length("18446744073709551661"), Refused(BAD)),
    ]
}

/// Transfer codings.
fn codings() -> Vec<Case> {
    let chunks = one_chunk(SMUGGLED);
    let coding = |headers: &str| post(headers, &chunks);
    vec![
        (6, "xchunked", coding("Transfer-Encoding: xchunked\r\n"), Refused(BAD_OR_NOT_IMPLEMENTED)),
        (6, "quoted", coding("Transfer-Encoding: \"chunked\"\r\n"), Refused(BAD_OR_NOT_IMPLEMENTED)),
        (
            6,
            "vertical tab",
            coding("Transfer-Encoding: \x0bchunked\r\nContent-Length: 4\r\n"),
            Refused(BAD_OR_NOT_IMPLEMENTED),
        ),
        (
            6,
            "identity and a length",
            coding("Transfer-Encoding: identity\r\nContent-Length: 5\r\n"),
            Refused(BAD_OR_NOT_IMPLEMENTED),
        ),
        (7, "chunked, identity", coding("Transfer-Encoding: chunked, identity\r\n"), Refused(BAD_OR_NOT_IMPLEMENTED)),
        (7, "identity, chunked", coding("Transfer-Encoding: identity, chunked\r\n"), Refused(BAD_OR_NOT_IMPLEMENTED)),
        (7, "chunked, chunked", coding("Transfer-Encoding: chunked, chunked\r\n"), Refused(BAD_OR_NOT_IMPLEMENTED)),
        (
            7,
            "two lines",
            coding("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
            Refused(BAD_OR_NOT_IMPLEMENTED),
        ),
        (8, "gzip, chunked", coding("Transfer-Encoding: gzip, chunked\r\n"), Refused(BAD_OR_NOT_IMPLEMENTED)),
        (8, "gzip", post("Transfer-Encoding: gzip\r\n", SMUGGLED), Refused(BAD_OR_NOT_IMPLEMENTED)),
        (9, "trailing comma", coding("Transfer-Encoding: chunked,\r\n"), Refused(BAD_OR_NOT_IMPLEMENTED)),
        (10, "space before colon", coding("Transfer-Encoding : chunked\r\nContent-Length: 4\r\n"), Refused(BAD)),
        (11, "folded", coding("Transfer-Encoding:\r\n chunked\r\nContent-Length: 4\r\n"), Refused(BAD)),
        (12, "HTTP/1.0", with_line("POST /own HTTP/1.0", "Transfer-Encoding: chunked\r\n", &chunks), Refused(BAD)),
        (0, "odd capitals", coding("tRaNsFeR-eNcOdInG: Chunked\r\n"), Served(&["/own"])),
    ]
}

/// Lines and bytes of the head.
fn heads() -> Vec<Case> {
    let bare_lf = bytes("POST /own HTTP/1.1\r\nHost: example.com\nTransfer-Encoding: chunked\r\n\r\n");
    let utf8_name = with_line("GET /own HTTP/1.1", "X-é: a\r\n", "");
    vec![
        (13, "one bare line feed", [bare_lf, bytes(&one_chunk(SMUGGLED))].concat(), Refused(BAD)),
        (13, "bare line feeds only", bytes("GET /own HTTP/1.1\nHost: example.com\n\n"), Refused(BAD)),
        (
            14,
            "bare carriage return in a value",
            post("X-A: a\rTransfer-Encoding: chunked\r\nContent-Length: 4\r\n", "abcd"),
            Refused(BAD),
        ),
        (
            14,
            "bare carriage return at the end",
            bytes("GET /own HTTP/1.1\r\nHost: example.com\r\r\n\r\n"),
            Refused(BAD),
        ),
        (15, "NUL in a value", get("X-A: a\0b\r\n"), Refused(BAD)),
        (15, "NUL in a name", get("X\0A: b\r\n"), Refused(BAD)),
        (15, "NUL in the target", with_line("GET /ow\0n HTTP/1.1", "", ""), Refused(BAD)),
        (16, "controls in a value", get("X-A: a\x01\x1fb\r\n"), Refused(BAD)),
        (16, "DEL in a value", get("X-A: a\x7fb\r\n"), Refused(BAD)),
        (17, "a folded line", get("X-A: a\r\n b\r\n"), RefusedOrServed(&["/own"])),
        (18, "space before colon", get("X-A : a\r\n"), Refused(BAD)),
        (18, "tab before colon", get("X-A\t: a\r\n"), Refused(BAD)),
        (19, "no name", get(": a\r\n"), Refused(BAD)),
        (19, "no colon", get("Garbage\r\n"), Refused(BAD)),
        (19, "parentheses in a name", get("X(A): a\r\n"), Refused(BAD)),
        (19, "UTF-8 in a name", utf8_name, Refused(BAD)),
        (
            20,
            "the first line folded",
            bytes("GET /own HTTP/1.1\r\n Host: example.com\r\nHost: b\r\n\r\n"),
            Refused(BAD),
        ),
        (21, "two hosts", bytes("GET /own HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), Refused(BAD)),
        (21, "no host", bytes("GET /own HTTP/1.1\r\nX: y\r\n\r\n"), Refused(BAD)),
        (22, "space in the host", bytes("GET /own HTTP/1.1\r\nHost: a b\r\n\r\n"), Refused(BAD)),
        (22, "@ in the host", bytes("GET /own HTTP/1.1\r\nHost: a@b\r\n\r\n"), Refused(BAD)),
        (22, "slash in the host", bytes("GET /own HTTP/1.1\r\nHost: a/b\r\n\r\n"), Refused(BAD)),
        (22, "comma in the host", bytes("GET /own HTTP/1.1\r\nHost: a,b\r\n\r\n"), RefusedOrServed(&["/own"])),
        (0, "an empty line first", [bytes("\r\n"), get("")].concat(), Served(&["/own"])),
    ]
}

/// The request line.
fn lines() -> Vec<Case> {
    let line = |line: &str| with_line(line, "", "");
    let absolute = bytes("GET http://good.example/own HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    let user = bytes("GET http://u:p@example.com/own HTTP/1.1\r\nHost: example.com\r\n\r\n");
    vec![
        (23, "absolute form", absolute, Served(&["/own"])),
        (23, "absolute form with a user", user, RefusedOrServed(&["/own"])),
        (24, "space in the target", line("GET /a b HTTP/1.1"), Refused(BAD)),
        (24, "fragment in the target", line("GET /a#b HTTP/1.1"), Refused(BAD)),
        (24, "no leading slash", line("GET own HTTP/1.1"), Refused(BAD)),
        (24, "asterisk", line("GET * HTTP/1.1"), Refused(BAD)),
        (24, "CONNECT", line("CONNECT example.com:443 HTTP/1.1"), Refused(&[405])),
        (24, "OPTIONS *", line("OPTIONS * HTTP/1.1"), RefusedOrServed(&["*"])),
        (24, "UTF-8 in the target", line("GET /é HTTP/1.1"), RefusedOrServed(&["/%C3%A9"])),
        (25, "HTTP/0.9 with a header", bytes("GET /own\r\nHost: a\r\n\r\n"), Refused(BAD_VERSION)),
        (25, "HTTP/2.0", line("GET /own HTTP/2.0"), Refused(BAD_VERSION)),
        (25, "HTTP/1.10", line("GET /own HTTP/1.10"), Refused(BAD_VERSION)),
        (25, "http/1.1", line("GET /own http/1.1"), Refused(BAD_VERSION)),
        (25, "HTTP/1.2", line("GET /own HTTP/1.2"), RefusedOrServed(&["/own"])),
        (19, "NUL in the method", line("G\0T /own HTTP/1.1"), Refused(BAD)),
        (19, "parenthesis in the method", line("G(T /own HTTP/1.1"), Refused(BAD)),
        (26, "tabs in the line", line("GET\t/own\tHTTP/1.1"), Refused(BAD)),
        (26, "double spaces in the line", line("GET  /own  HTTP/1.1"), Refused(BAD)),
    ]
}

/// Chunks and trailers.
fn chunks() -> Vec<Case> {
    let long_extension = format!("2;\nxx\r\n{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    vec![
        (0, "one chunk", chunked(&one_chunk(SMUGGLED)), Served(&["/own"])),
        (0, "an extension", chunked("2;a=b;c=\"d\"\r\nab\r\n0\r\n\r\n"), Served(&["/own"])),
        (27, "0x", chunked("0x2\r\nab\r\n0\r\n\r\n"), RefusedInBody),
        (27, "plus", chunked("+2\r\nab\r\n0\r\n\r\n"), RefusedInBody),
        (27, "minus", chunked("-1\r\nab\r\n0\r\n\r\n"), RefusedInBody),
        (27, "underscore", chunked("0_2\r\nab\r\n0\r\n\r\n"), RefusedInBody),
        (27, "more than 64 bits", chunked("10000000000000002\r\nab\r\n0\r\n\r\n"), RefusedInBody),
        (27, "leading space", chunked(" 2\r\nab\r\n0\r\n\r\n"), RefusedInBody),
        (27, "trailing space", chunked("2 \r\nab\r\n0\r\n\r\n"), RefusedOrServed(&["/own"])),
        (27, "no size", chunked("\r\nab\r\n0\r\n\r\n"), RefusedInBody),
        (28, "line feed after the size", chunked("2\nab\r\n0\r\n\r\n"), RefusedInBody),
        (28, "line feed after the data", chunked("2\r\nab\n0\r\n\r\n"), RefusedInBody),
        (28, "line feeds at the end", chunked(&format!("2\r\nab\r\n0\n\n{SMUGGLED}")), RefusedInBody),
        (29, "carriage return in an extension", chunked("2;a\rb\r\nab\r\n0\r\n\r\n"), RefusedInBody),
        (29, "line feed in an extension", chunked(&long_extension), RefusedInBody),
        (30, "more data than the size says", chunked("2\r\nabXX\r\n0\r\n\r\n"), RefusedInBody),
        (31, "a length among the trailers", chunked("0\r\nContent-Length: 99\r\n\r\n"), RefusedOrServed(&["/own"])),
        (
            31,
            "a coding among the trailers",
            chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            RefusedOrServed(&["/own"]),
        ),
        (31, "a host among the trailers", chunked("0\r\nHost: evil.example\r\n\r\n"), RefusedOrServed(&["/own"])),
        (32, "a control among the trailers", chunked("0\r\nX: a\0b\r\n\r\n"), RefusedInBody),
    ]
}

/// What a whole conversation means.
fn conversations() -> Vec<Case> {
    let length = format!("Content-Length: {SMUGGLED_LENGTH}\r\n");
    let settings = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    let two = |first: Vec<u8>| [first, with_line("GET /b HTTP/1.1", "", "")].concat();
    let fields: String = (0..5000).map(|number| format!("X-{number}: a\r\n")).collect();
    vec![
        (
            33,
            "connection names the length",
            post(&format!("Connection: Content-Length\r\n{length}"), SMUGGLED),
            Served(&["/own"]),
        ),
        (
            33,
            "connection names the coding",
            post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", &one_chunk(SMUGGLED)),
            Served(&["/own"]),
        ),
        (33, "connection names the host", get("Connection: Host\r\n"), Served(&["/own"])),
        (34, "an upgrade to h2c", post(&format!("{settings}{length}"), SMUGGLED), Served(&["/own"])),
        (35, "a WebSocket without a key", with_line("GET /own HTTP/1.1", websocket, SMUGGLED), Refused(BAD)),
        (36, "GET with a body", with_line("GET /own HTTP/1.1", &length, SMUGGLED), Served(&["/own"])),
        (37, "two at once", two(with_line("GET /a HTTP/1.1", "", "")), Served(&["/a", "/b"])),
        (37, "two at once, one with a body", two(post("Content-Length: 3\r\n", "abc")), Served(&["/own", "/b"])),
        (38, "16 kB in one header", get(&format!("X-A: {}\r\n", "a".repeat(16 << 10))), Served(&["/own"])),
        (38, "1 MB in one header", get(&format!("X-A: {}\r\n", "a".repeat(1 << 20))), Refused(TOO_LARGE)),
        (38, "5000 headers", get(&fields), Refused(TOO_LARGE)),
        (
            38,
            "64 kB in the target",
            with_line(&format!("GET /{} HTTP/1.1", "a".repeat(64 << 10)), "", ""),
            Refused(TOO_LONG),
        ),
        (39, "less than the length says", post("Content-Length: 50\r\n", "abc"), Aborted),
        (39, "no last chunk", chunked("32\r\nabc"), Aborted),
        (25, "HTTP/0.9", bytes("GET /own\r\n"), Aborted),
        (
            40,
            "TLS on the plain port",
            [vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], vec![0; 60]].concat(),
            RefusedOrClosed(BAD),
        ),
        (
            0,
            "an expectation that nobody knows",
            post("Expect: 200-maybe\r\nContent-Length: 2\r\n", "ab"),
            RefusedOrServed(&["/own"]),
        ),
    ]
}

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    [lengths(), codings(), heads(), lines(), chunks(), conversations()].into_iter().flatten().collect()
}

/// The bytes of each, for who reads them without a socket.
pub(super) fn bytes_of_cases() -> Vec<(String, Vec<u8>)> {
    cases().into_iter().map(|(number, name, bytes, _)| (format!("case {number}, {name}"), bytes)).collect()
}

/// What came of a case: the answers up to the connection's end or to silence, and what the backend heard.
struct Outcome {
    statuses: Vec<u16>,
    closed: bool,
    heard: Vec<Seen>,
}

impl Expect {
    /// Answers to wait for.
    fn answers(&self) -> usize {
        match self {
            // The second answer of a pair, when the first was not a refusal.
            Served(targets) | RefusedOrServed(targets) => targets.len(),
            _ => 1,
        }
    }

    /// How long what is expected may take: the next answer, or a close after these statuses.
    fn patience(&self, statuses: &[u16]) -> Duration {
        match self {
            Served(targets) | RefusedOrServed(targets) if statuses == vec![200; targets.len()] => Duration::ZERO,
            _ => PATIENCE,
        }
    }
}

async fn play(mut client: Raw, case: &[u8], expect: &Expect, origin: &Origin) -> Outcome {
    client.say(case).await;
    if matches!(expect, Aborted) {
        client.hang_up().await;
    }
    let (statuses, closed) = outcome(&mut client, expect).await;
    drop(client);
    eventually("the backend has done with it", async || origin.open_requests() == 0).await;
    Outcome { statuses, closed, heard: origin.seen() }
}

/// The answers up to the connection's end or to silence, and whether it ended.
pub(super) async fn outcome(client: &mut Raw, expect: &Expect) -> (Vec<u16>, bool) {
    let (mut statuses, mut closed) = (Vec::new(), false);
    while statuses.len() < expect.answers() && !closed {
        match client.hear(expect.patience(&statuses)).await {
            Heard::Answer(answer) => statuses.push(answer.status),
            Heard::Closed => closed = true,
            Heard::Silence => break,
        }
    }
    let closed = closed || client.ends(expect.patience(&statuses)).await;
    (statuses, closed)
}

/// What is wrong with an outcome; none when it is as expected.
fn fault(expect: &Expect, outcome: &Outcome) -> Option<String> {
    let whole = || outcome.heard.iter().filter(|seen| seen.complete).map(|seen| seen.target.as_str());
    let unheard = || outcome.closed && outcome.heard.is_empty();
    let refused = |statuses: &[u16]| matches!(outcome.statuses[..], [told] if statuses.contains(&told)) && unheard();
    let refused_in_body = || outcome.statuses.iter().all(|&status| status == 400) && outcome.closed;
    let served = |targets: &[&str]| {
        let well = outcome.statuses.len() == targets.len() && outcome.statuses.iter().all(|&status| status == 200);
        well && whole().eq(targets.iter().copied()) && outcome.heard.len() == targets.len()
    };
    let fine = match expect {
        Refused(statuses) => refused(statuses),
        RefusedOrClosed(statuses) => refused(statuses) || (outcome.statuses.is_empty() && unheard()),
        RefusedInBody => refused_in_body() && outcome.statuses == [400] && whole().next().is_none(),
        Aborted => refused_in_body() && whole().next().is_none(),
        Served(targets) => served(targets),
        RefusedOrServed(targets) => {
            let refused = outcome.statuses.iter().all(|status| (400..500).contains(status)) && outcome.closed;
            served(targets) || (refused && whole().next().is_none())
        }
    };
    let heard =
        || outcome.heard.iter().map(|s| format!("{} {} whole: {}", s.method, s.target, s.complete)).collect::<Vec<_>>();
    let (statuses, closed) = (&outcome.statuses, outcome.closed);
    (!fine).then(|| format!("answered {statuses:?}, closed: {closed}, the backend heard {:?}", heard()))
}

/// All that stands in the table under one number, over TCP and over TLS.
async fn play_all(case: u8) {
    let mut faults = Vec::new();
    let rows: Vec<Case> = cases().into_iter().filter(|(number, ..)| *number == case).collect();
    assert!(!rows.is_empty(), "nothing stands under {case}");
    for (number, name, bytes, expect) in rows {
        for listener in ["plain", "tls"] {
            if listener == "tls" && number == 40 {
                continue;
            }
            // Each has its own backend: one may hear of a broken request later than the client hears of its end.
            let origin = Origin::named("a");
            let listen = edge::plain().listen("tls", Some(certs::shop()));
            let edge = listen.workers(1).pool("shop", &[&origin]).start();
            let address = edge.listener(listener);
            let client = if listener == "tls" { Raw::tls(address).await } else { Raw::plain(address).await };
            let outcome = play(client, &bytes, &expect, &origin).await;
            let what = format!("{name} ({listener})");
            if let Some(fault) = fault(&expect, &outcome) {
                faults.push(format!("{what}: {fault}"));
            }
            check_what_was_heard(number, name, &outcome.heard, &mut faults);
        }
    }
    assert!(faults.is_empty(), "not as it must be:\n{}", faults.join("\n"));
}

/// Whatever became of a case: these never reach a backend.
fn check_what_was_heard(number: u8, name: &str, heard: &[Seen], faults: &mut Vec<String>) {
    for seen in heard {
        for never in ["upgrade", "http2-settings", "keep-alive", "te", "trailer-smuggled"] {
            if seen.has(never) {
                faults.push(format!("case {number}, {name}: the backend was told `{never}`"));
            }
        }
        let framed = seen.all("content-length").len() + seen.all("transfer-encoding").len();
        if framed > 1 {
            faults.push(format!("case {number}, {name}: the backend was told two lengths"));
        }
        if number == 23 && seen.all("host") != ["good.example"] && name == "absolute form" {
            faults.push(format!("case {number}, {name}: the backend was told {:?}", seen.all("host")));
        }
        if number == 33 && seen.all("host") != ["example.com"] {
            faults.push(format!("case {number}, {name}: the backend was told {:?}", seen.all("host")));
        }
        // Case 33 has one without a body.
        let has_body = matches!(number, 34 | 36) || (number == 33 && seen.method == "POST");
        if has_body && seen.body != SMUGGLED.as_bytes() {
            faults.push(format!("case {number}, {name}: the body became {:?}", String::from_utf8_lossy(&seen.body)));
        }
    }
}

/// A story for each case of the table.
macro_rules! stories {
    ($($name:ident: $number:literal,)+) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            play_all($number).await;
        })+

        #[test]
        fn no_case_is_without_a_story() {
            let told = [$($number),+];
            assert!(cases().iter().all(|(number, ..)| told.contains(number)));
        }
    };
}

stories! {
    case_1_a_length_and_a_coding: 1,
    case_2_two_lengths: 2,
    case_3_a_list_of_lengths: 3,
    case_4_lengths_that_are_no_numbers: 4,
    case_5_lengths_beyond_64_bits: 5,
    case_6_codings_that_resemble_chunked: 6,
    case_7_two_codings: 7,
    case_8_compressed_codings: 8,
    case_9_a_comma_behind_the_coding: 9,
    case_10_a_space_before_the_colon_of_the_coding: 10,
    case_11_a_folded_coding: 11,
    case_12_a_coding_in_http_1_0: 12,
    case_13_bare_line_feeds: 13,
    case_14_bare_carriage_returns: 14,
    case_15_nul: 15,
    case_16_other_controls: 16,
    case_17_a_folded_line: 17,
    case_18_a_space_before_a_colon: 18,
    case_19_names_that_are_none: 19,
    case_20_the_first_line_folded: 20,
    case_21_no_host_or_two: 21,
    case_22_malformed_hosts: 22,
    case_23_an_absolute_target: 23,
    case_24_malformed_targets: 24,
    case_25_other_versions: 25,
    case_26_tabs_and_double_spaces_in_the_line: 26,
    case_27_malformed_sizes_of_chunks: 27,
    case_28_chunks_with_bare_line_feeds: 28,
    case_29_malformed_extensions_of_chunks: 29,
    case_30_a_chunk_longer_than_its_size: 30,
    case_31_framing_among_the_trailers: 31,
    case_32_a_control_among_the_trailers: 32,
    case_33_connection_names_what_frames_the_message: 33,
    case_34_an_upgrade_to_http_2: 34,
    case_35_a_websocket_without_its_key: 35,
    case_36_get_with_a_body: 36,
    case_37_requests_sent_together: 37,
    case_38_heads_beyond_the_limits: 38,
    case_39_a_body_that_breaks_off: 39,
    case_40_tls_on_a_plain_port: 40,
    what_only_looks_odd_is_served: 0,
}

#[tokio::test(flavor = "multi_thread")]
async fn case_38_the_limits_are_the_listeners_own() {
    let origin = Origin::named("a");
    let limit = HeadLimit { head: 2 << 10, headers: 8, target: 64 };
    let edge = edge::plain().listener(|l| l.head = limit).listen("usual", None);
    let edge = edge.listen("tls", Some(certs::shop())).listener(|l| l.head = limit).pool("shop", &[&origin]).start();
    let headers = |count: usize| "X: y\r\n".repeat(count);
    for (head, status) in [
        (with_line(&format!("GET /{} HTTP/1.1", "a".repeat(63)), &headers(7), ""), 200),
        (with_line(&format!("GET /{} HTTP/1.1", "a".repeat(64)), "", ""), 414),
        (with_line(&format!("GET /{} HTTP/1.1", "a".repeat(2 << 10)), "", ""), 414),
        (get(&headers(8)), 431),
        (get(&format!("X: {}\r\n", "y".repeat(2 << 10))), 431),
    ] {
        for (listener, status) in [("plain", status), ("usual", 200)] {
            let mut client = Raw::plain(edge.listener(listener)).await;
            client.say(&head).await;
            let heard = client.hear(PATIENCE).await.status();
            assert_eq!(heard, Some(status), "{listener}: {}", String::from_utf8_lossy(&head));
        }
    }
    assert_eq!(origin.requests(), 6);
    let mut client = Client::h2(edge.listener("tls")).await;
    for (path, headers, status) in [(63, 8, 200), (64, 0, 414), (1, 9, 431)] {
        let mut request = client::request(Method::GET, &format!("/{}", "a".repeat(path)));
        for _ in 0..headers {
            request.headers_mut().append("x", HeaderValue::from_static("y"));
        }
        let answer = client.send(request).await.unwrap();
        assert_eq!(answer.status, status, "{headers} headers and {path} bytes over HTTP/2");
    }
}
