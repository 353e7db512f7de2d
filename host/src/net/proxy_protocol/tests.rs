//! The codec against the examples of the specification, against itself, and against noise.

use super::*;
use proptest::prelude::*;

/// What is read of these bytes, and what is left for the connection.
fn reads(bytes: &[u8]) -> (Result<Option<Ends>, BadHead>, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut rest = bytes;
    let read = runtime.block_on(read(&mut rest));
    (read, rest.to_vec())
}

fn ends(source: &str, destination: &str) -> Ends {
    Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

#[test]
fn lines_are_read_as_the_specification_writes_them() {
    let longest4 = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
    let longest6 =
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    let unknown =
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!((longest4.len(), longest6.len(), unknown.len()), (56, 104, 107));
    let all_ones = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
    for (line, told) in [
        ("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", Some(ends("192.168.0.1:56324", "192.168.0.11:443"))),
        (longest4, Some(ends("255.255.255.255:65535", "255.255.255.255:65535"))),
        (longest6, Some(ends(all_ones, all_ones))),
        ("PROXY TCP6 ::1 2001:db8::7 1 0\r\n", Some(ends("[::1]:1", "[2001:db8::7]:0"))),
        ("PROXY UNKNOWN\r\n", None),
        (unknown, None),
    ] {
        let (read, rest) = reads(format!("{line}GET / HTTP/1.1\r\n").as_bytes());
        assert_eq!((read.unwrap(), rest.as_slice()), (told, &b"GET / HTTP/1.1\r\n"[..]), "{line}");
    }
}

#[test]
fn what_is_no_line_names_nobody() {
    for line in [
        "GET / HTTP/1.1\r\nhost: a\r\n",
        "proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY\tTCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        "PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
        "PROXY TCP4 1.1.1.01 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::2 1 2\r\n",
        "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\r\n",
        "PROXY UNKNOWN \r x\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2",
        "PROXY ",
    ] {
        assert!(reads(line.as_bytes()).0.is_err(), "{}", line.escape_debug());
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(long.len(), 108);
    assert!(matches!(reads(long.as_bytes()).0, Err(BadHead::Malformed(_))));
}

/// A head of version 2 with this command, family, and rest.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
}

const FOUR: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x8b, 0x3e, 0, 80];

#[test]
fn binary_heads_are_read() {
    let told = Some(ends("192.0.2.1:35646", "198.51.100.2:80"));
    let six: Vec<u8> = [[0; 15].as_slice(), &[1], &[0xfe, 0x80], &[0; 13], &[7], &[0, 1, 0xff, 0xff]].concat();
    // Of kinds that nobody here looks at: ALPN, a name, padding.
    let noted = [&FOUR[..], b"\x01\0\x02h2", b"\x02\0\x01a", b"\x04\0\0"].concat();
    for (head, told) in [
        (binary(0x21, 0x11, &FOUR), told),
        (binary(0x21, 0x11, &noted), told),
        (binary(0x21, 0x21, &six), Some(ends("[::1]:1", "[fe80::7]:65535"))),
        // A check of the sender's own, with addresses or without.
        (binary(0x20, 0, b""), None),
        (binary(0x20, 0x11, &FOUR), None),
        // Nothing that names a client here: unspecified, datagrams, socket files, and as long as may be.
        (binary(0x21, 0, b""), None),
        (binary(0x21, 0x12, &FOUR), None),
        (binary(0x21, 0x31, &[b'/'; 216]), None),
        (binary(0x21, 0, &[0; 65535]), None),
        (binary(0x21, 0x11, &[&FOUR[..], b"\x04\xff\xf0", &[0; 0xfff0]].concat()), told),
    ] {
        let (read, rest) = reads(&[&head[..], b"more"].concat());
        assert_eq!((read.unwrap(), rest.as_slice()), (told, &b"more"[..]), "{:02x?}", &head[12..16]);
    }
}

#[test]
fn what_is_no_binary_head_names_nobody() {
    let whole = binary(0x21, 0x11, &FOUR);
    for bad in [
        binary(0x11, 0x11, &FOUR),
        binary(0x22, 0x11, &FOUR),
        binary(0x21, 0x11, &FOUR[..11]),
        binary(0x21, 0x21, &FOUR),
        binary(0x21, 0x11, &[&FOUR[..], &[4, 0]].concat()),
        binary(0x21, 0x11, &[&FOUR[..], &[4, 0, 2, 0]].concat()),
        whole[..whole.len() - 1].to_vec(),
        [b"\r\n\r\n\0\r\nQUIX\n", &whole[12..]].concat(),
    ] {
        assert!(reads(&bad).0.is_err(), "{bad:02x?}");
    }
}

#[test]
fn a_checksum_that_is_there_must_be_right() {
    let mut head = binary(0x21, 0x11, &[&FOUR[..], &[3, 0, 4, 0, 0, 0, 0]].concat());
    let sum = checksum::crc32c(head.iter().copied());
    let at = head.len() - 4;
    head[at..].copy_from_slice(&sum.to_be_bytes());
    assert!(reads(&head).0.unwrap().is_some());
    // All but the kind: of another kind it would be no checksum.
    for damaged in (16..head.len()).filter(|&n| n != at - 3) {
        let mut head = head.clone();
        head[damaged] ^= 1;
        assert!(reads(&head).0.is_err(), "byte {damaged}");
    }
    // Of another length it is none.
    assert!(matches!(reads(&binary(0x21, 0x11, &[&FOUR[..], &[3, 0, 1, 0]].concat())).0, Err(BadHead::Checksum)));
}

fn address() -> impl Strategy<Value = SocketAddr> {
    any::<(std::net::IpAddr, u16)>().prop_map(SocketAddr::from)
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_nothing_beyond_it(source in address(), destination in address(), one: bool, rest: Vec<u8>) {
        let version = if one { Version::V1 } else { Version::V2 };
        let written = of_one_family(Ends { source, destination });
        let head = head(version, Some(Ends { source, destination }));
        let (read, left) = reads(&[&head[..], &rest].concat());
        prop_assert_eq!(read.unwrap(), Some(written));
        prop_assert_eq!(left, rest);
        prop_assert_eq!(written.source.ip().to_canonical(), source.ip().to_canonical());
        // Cut anywhere, it is none.
        for cut in 0..head.len() {
            prop_assert!(reads(&head[..cut]).0.is_err());
        }
    }

    #[test]
    fn no_bytes_do_harm(begin in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11"]), bytes: Vec<u8>) {
        let _ = reads(&[begin, &bytes].concat());
    }
}

#[test]
fn nothing_to_tell_is_said_so() {
    assert_eq!(head(Version::V1, None), b"PROXY UNKNOWN\r\n");
    for version in [Version::V1, Version::V2] {
        assert!(reads(&head(version, None)).0.unwrap().is_none());
    }
}
