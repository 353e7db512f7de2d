//! Reads requests as they are, without forgiving anything: what a proxy sends to a backend should need no forgiveness.

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::TcpStream,
};

/// A request as it arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Which of the backend's connections it came on, from 0.
    pub connection: u64,
    /// Such as `GET`.
    pub method: String,
    /// As on the request line.
    pub target: String,
    /// As on the request line.
    pub version: String,
    /// In order, names as they were written.
    pub headers: Vec<(String, String)>,
    /// What has arrived, without the chunks' framing.
    pub body: Vec<u8>,
    /// After a chunked body, in order.
    pub trailers: Vec<(String, String)>,
    /// Whether it came to its end.
    pub complete: bool,
}

impl Seen {
    /// The only value of a header, whatever the case of its name; none when it is absent.
    ///
    /// # Panics
    /// When it is repeated.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "`{name}` came {} times: {all:?}", all.len());
        all.first().copied()
    }

    /// All values of a header, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether there is such a header.
    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }
}

/// The next request up to its empty line; none when the connection ends, or what comes is no request.
pub(super) async fn read_head(stream: &mut BufReader<TcpStream>, connection: u64) -> Option<Seen> {
    let first = line(stream).await?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let headers = fields(stream).await?;
    Some(Seen { connection, method, target, version, headers, ..Seen::default() })
}

/// Reads the body into `seen`, telling of each piece; false when it broke off or makes no sense.
pub(super) async fn read_body(stream: &mut BufReader<TcpStream>, seen: &mut Seen, mut tell: impl FnMut(&Seen)) -> bool {
    let chunked = seen.header("transfer-encoding").is_some_and(|value| value == "chunked");
    let length = seen.header("content-length").map(str::parse::<usize>);
    let whole = match (chunked, length) {
        (true, None) => read_chunks(stream, seen, &mut tell).await.is_some(),
        (false, Some(Ok(length))) => read_exactly(stream, length, seen, &mut tell).await.is_some(),
        (false, None) => true,
        (true, Some(_)) | (false, Some(Err(_))) => false,
    };
    seen.complete = whole;
    tell(seen);
    whole
}

async fn read_chunks(stream: &mut BufReader<TcpStream>, seen: &mut Seen, tell: &mut impl FnMut(&Seen)) -> Option<()> {
    loop {
        let size = line(stream).await?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            seen.trailers = fields(stream).await?;
            return Some(());
        }
        read_exactly(stream, size, seen, tell).await?;
        if !line(stream).await?.is_empty() {
            return None;
        }
    }
}

async fn read_exactly(
    stream: &mut BufReader<TcpStream>,
    mut length: usize,
    seen: &mut Seen,
    tell: &mut impl FnMut(&Seen),
) -> Option<()> {
    let mut piece = vec![0; 16 << 10];
    while length > 0 {
        let most = length.min(piece.len());
        let read = stream.read(&mut piece[..most]).await.ok().filter(|&read| read > 0)?;
        seen.body.extend_from_slice(&piece[..read]);
        length -= read;
        tell(seen);
    }
    Some(())
}

/// Header or trailer lines up to the empty one.
async fn fields(stream: &mut BufReader<TcpStream>) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = line(stream).await?;
        if line.is_empty() {
            return Some(fields);
        }
        let (name, value) = line.split_once(':')?;
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// Up to CR LF, which is cut off; none when the connection ends before it, or the line ends in another way.
async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await.ok()?;
    Some(String::from_utf8_lossy(line.strip_suffix(b"\r\n")?).into_owned())
}
