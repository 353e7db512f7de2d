//! The HTTP/1.1 codecs without sockets: the same bytes mean the same however they are cut, and what other readers of HTTP
//! refuse we do not accept, nor do we read another message than they do.

use super::framing;
use pointsman::{
    net::h1::reading::{self, End, Reading},
    rng::Rng,
    server::read_requests,
    upstream::read_answers,
};
use pointsman_tests::judges::{self, Message, Reader, Side, Verdict, hex};

/// Inputs that each reader is given.
const INPUTS: usize = 3000;
/// Above this length, not every place is cut at: what is longer is refused for its size alone.
const CUT_EVERYWHERE_MOST: usize = 20 << 10;
/// What is longer tests nothing but a size.
const SMALL_MOST: usize = 4 << 10;

/// Where another reader refuses and we do not: part of what it says, and why we are right.
type Excuse = (&'static str, &'static str);

const H11_REQUESTS: &[Excuse] = &[
    ("Missing mandatory Host: header", "looked at behind the codec: case 21"),
    ("Found multiple Host: headers", "looked at behind the codec: case 21"),
    ("no request line received", "one empty line before a request is read over (RFC 9112 §2.2)"),
    ("/\\xc3\\xa9 HTTP/1.1", "bytes beyond ASCII in a path are percent-encoded behind the codec"),
];
const H11_ANSWERS: &[Excuse] = &[];
const LLHTTP_REQUESTS: &[Excuse] = &[
    ("Duplicate Content-Length", "the same length twice is one (RFC 9112 §6.3); where they differ we refuse: case 2"),
    ("Invalid characters in url", "looked at behind the codec: case 24"),
    ("Invalid char in url path", "bytes beyond ASCII in a path are percent-encoded behind the codec"),
    ("Unexpected start char in url", "looked at behind the codec: case 24"),
    ("Unexpected char in url schema", "looked at behind the codec: case 24"),
    ("Invalid character in chunk extensions", "extensions are read over, but for what might end a line: case 29"),
    ("Expected space after method", "it knows a list of them; any name is one (RFC 9110 §9.1)"),
    ("Invalid method encountered", "it knows a list of them; any name is one (RFC 9110 §9.1)"),
    ("Content-Length can't be present with Transfer-Encoding", "among trailers, which never become headers: case 31"),
    ("Invalid `Transfer-Encoding` header value", "among trailers, which never become headers: case 31"),
];
const LLHTTP_ANSWERS: &[Excuse] = &[(
    "Duplicate Content-Length",
    "the same length twice is one (RFC 9112 §6.3); where they differ we refuse: case 47",
)];

#[test]
fn every_case_reads_the_same_wherever_it_is_cut() {
    let mut cuts = 0;
    for (name, bytes) in framing::bytes_of_cases() {
        let whole = seen(read_requests([&bytes[..]]));
        let step = 1.max(bytes.len() / CUT_EVERYWHERE_MOST);
        for at in (0..=bytes.len()).step_by(step) {
            let (one, two) = bytes.split_at(at);
            assert_eq!(seen(read_requests([one, two])), whole, "{name}, cut at {at}");
            cuts += 1;
        }
        if bytes.len() <= CUT_EVERYWHERE_MOST {
            assert_eq!(seen(read_requests(bytes.chunks(1))), whole, "{name}, byte by byte");
        }
    }
    assert!(cuts > 10_000, "only {cuts}");
}

/// Why something was refused may depend on the cut, that it was may not.
fn seen(reading: Reading) -> Reading {
    Reading { why: None, ..reading }
}

#[test]
fn h11_refuses_no_request_that_we_accept() {
    compare(Reader::H11, Side::Requests, H11_REQUESTS);
}

#[test]
fn h11_refuses_no_answer_that_we_accept() {
    compare(Reader::H11, Side::Answers, H11_ANSWERS);
}

#[test]
fn llhttp_refuses_no_request_that_we_accept() {
    compare(Reader::Llhttp, Side::Requests, LLHTTP_REQUESTS);
}

#[test]
fn llhttp_refuses_no_answer_that_we_accept() {
    compare(Reader::Llhttp, Side::Answers, LLHTTP_ANSWERS);
}

fn compare(reader: Reader, side: Side, excuses: &[Excuse]) {
    let mut rng = Rng::new(0x0b5e_55ed);
    let mut inputs = if side == Side::Requests { small_cases() } else { Vec::new() };
    while inputs.len() < INPUTS {
        inputs.push(input(&mut rng, side));
    }
    let cut: Vec<Vec<&[u8]>> = inputs.iter().map(|bytes| pieces(&mut rng, bytes)).collect();
    let verdicts = judges::read(reader, side, &cut);
    let (mut faults, mut stricter, mut accepted) = (Vec::new(), Vec::new(), 0);
    for (pieces, theirs) in cut.iter().zip(&verdicts) {
        let read = |pieces: &[&[u8]]| match side {
            Side::Requests => read_requests(pieces.iter().copied()),
            Side::Answers => read_answers(pieces.iter().copied()),
        };
        let mut ours = read(pieces);
        // We judge a block of lines once it is whole, it judges them byte by byte.
        if ours.end == End::Within && theirs.end == "refused" {
            ours = read(&[pieces.as_slice(), &[b"\r\n\r\n"]].concat());
        }
        accepted += ours.messages.len();
        if let Some(fault) = fault(&ours, theirs, excuses) {
            faults.push(format!("{fault}\n    {}", pieces.concat().escape_ascii()));
        }
        if ours.end == End::Refused && theirs.end != "refused" {
            stricter.push(ours.why.map_or("another protocol".to_owned(), |why| why.to_string()));
        }
    }
    println!("{reader:?}, {side:?}: {accepted} messages read alike; stricter than it:");
    for (why, times) in judges::counted(stricter) {
        println!("{times:>6}  {why}");
    }
    let count = faults.len();
    faults.truncate(10);
    assert!(count == 0, "{count} of {} differ:\n{}", inputs.len(), faults.join("\n"));
    assert!(accepted > INPUTS / 4, "only {accepted} messages were read at all");
}

/// What is wrong where ours and another reader differ; none where we agree, are stricter, or are excused.
fn fault(ours: &Reading, theirs: &Verdict, excuses: &[Excuse]) -> Option<String> {
    if let Some((ours, theirs)) =
        ours.messages.iter().zip(&theirs.messages).find(|(ours, theirs)| plain(ours) != framed_out(theirs))
    {
        return Some(format!("we read {ours:?}, it reads {theirs:?}"));
    }
    let (we_have, it_has) = (ours.messages.len(), theirs.messages.len());
    let differ = || Some(format!("we end with {ours:?}, it ends with {theirs:?}"));
    match (ours.end, theirs.end.as_str()) {
        (End::Refused, _) if we_have <= it_has => None,
        // It says more about the connection than about the message.
        (End::Last, _) if we_have <= it_has => None,
        (_, "last") if theirs.why == "HTTP/1.0" => None,
        (_, "refused") if excuses.iter().any(|(why, _)| theirs.why.contains(why)) => None,
        (_, "refused") => {
            Some(format!("it refuses ({}), we do not: {:?} after {we_have} messages", theirs.why, ours.end))
        }
        _ if we_have != it_has => differ(),
        _ => match (&ours.begun, &theirs.begun) {
            (Some(ours), Some(theirs)) if plain(ours) == framed_out(theirs) => None,
            (None, None) => None,
            _ => differ(),
        },
    }
}

/// As a judge tells it.
fn plain(message: &reading::Message) -> Message {
    let lines = message.headers.iter().map(|(name, value)| (name.clone(), hex(value)));
    framed_out(&Message { first: message.first.clone(), headers: lines.collect(), body: hex(&message.body) })
}

/// Without what frames it, which each reader keeps or drops as it likes.
fn framed_out(message: &Message) -> Message {
    let frames = ["content-length", "transfer-encoding", "connection"];
    let mut message = message.clone();
    message.headers.retain(|(name, _)| !frames.contains(&name.as_str()));
    // Of an absolute target, ours writes the empty path as a slash.
    if message.first.contains("://") {
        message.first.truncate(message.first.trim_end_matches('/').len());
    }
    message
}

/// The cases of requests, but for those that test nothing but a size, or a protocol that the others leave to somebody else.
fn small_cases() -> Vec<Vec<u8>> {
    let speaks_h2_or_upgrades = |bytes: &[u8]| {
        let text = bytes.escape_ascii().to_string();
        ["Upgrade", "PRI *", "CONNECT"].iter().any(|word| text.contains(word))
    };
    let cases = framing::bytes_of_cases().into_iter().map(|(_, bytes)| bytes);
    cases.filter(|bytes| bytes.len() <= SMALL_MOST && !speaks_h2_or_upgrades(bytes)).collect()
}

/// One to three messages, most of them in order, and now and then one byte that is not.
fn input(rng: &mut Rng, side: Side) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=below(rng, 3) {
        bytes.extend_from_slice(message(rng, side).as_bytes());
    }
    if below(rng, 2) == 0 && !bytes.is_empty() {
        let at = below(rng, bytes.len());
        match below(rng, 3) {
            0 => bytes[at] = choice(rng, b"\r\n\0 \t:;,0a\x7f\x80"),
            1 => bytes.insert(at, choice(rng, b"\r\n\0 \t:;,0a\x7f\x80")),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

fn message(rng: &mut Rng, side: Side) -> String {
    let first = match side {
        Side::Requests => choice(
            rng,
            &[
                "GET / HTTP/1.1",
                "POST /a?b=c HTTP/1.1",
                "PUT /%61 HTTP/1.1",
                "GET / HTTP/1.0",
                "GET http://a/b HTTP/1.1",
            ],
        ),
        Side::Answers => choice(
            rng,
            &["HTTP/1.1 200 OK", "HTTP/1.1 404 ", "HTTP/1.0 200 OK", "HTTP/1.1 204 None", "HTTP/1.1 304 Old"],
        ),
    };
    let mut head = format!("{first}\r\n");
    if side == Side::Requests && below(rng, 20) > 0 {
        head += "Host: a\r\n";
    }
    for _ in 0..below(rng, 3) {
        head += choice(
            rng,
            &[
                "X-A: b\r\n",
                "x-a:  \tb c \r\n",
                "X-Empty:\r\n",
                "X-Bytes: caf\u{e9}\r\n",
                "Connection: keep-alive\r\n",
                "Connection: x, close\r\n",
                "Accept: */*\r\n",
                "Content-Length: 2\r\n",
                "Transfer-Encoding: chunked\r\n",
            ],
        );
    }
    let (line, body) = choice(
        rng,
        &[
            ("", ""),
            ("Content-Length: 5\r\n", "hello"),
            ("Content-Length: 0\r\n", ""),
            ("Content-Length: 5\r\n", "hel"),
            ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            ("Transfer-Encoding: Chunked\r\n", "5;a=b\r\nhello\r\n00001\r\n!\r\n0\r\nX-T: 1\r\n\r\n"),
            ("Transfer-Encoding: chunked\r\n", "A\r\n0123456789\r\n0\r\n\r\n"),
            ("Transfer-Encoding: chunked\r\n", "5\r\nhel"),
            ("Transfer-Encoding: gzip, chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            ("Content-Length: 5, 5\r\n", "hello"),
            ("Content-Length: +5\r\n", "hello"),
        ],
    );
    format!("{head}{line}\r\n{body}")
}

/// Cut at up to three places.
fn pieces<'a>(rng: &mut Rng, bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = (0..below(rng, 4)).map(|_| below(rng, bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

fn choice<T: Copy>(rng: &mut Rng, among: &[T]) -> T {
    among[below(rng, among.len())]
}

fn below(rng: &mut Rng, end: usize) -> usize {
    (rng.bits() % end as u64) as usize
}
