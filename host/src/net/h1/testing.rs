//! What the tests of both sides' readers share.

use bytes::BytesMut;
use proptest::prelude::*;

/// What a reader takes first out of pieces that come one by one, with what was left over.
pub fn first<'a, T, E>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    mut take: impl FnMut(&mut BytesMut) -> Result<Option<T>, E>,
) -> Result<Option<(T, BytesMut)>, E> {
    let mut buffer = BytesMut::new();
    let mut pieces = pieces.into_iter();
    while let Some(piece) = pieces.next() {
        buffer.extend_from_slice(piece);
        if let Some(taken) = take(&mut buffer)? {
            pieces.for_each(|rest| buffer.extend_from_slice(rest));
            return Ok(Some((taken, buffer)));
        }
    }
    Ok(None)
}

/// Up to so many of these first lines, and of what heads, good and bad, are made of, in any order.
pub fn scraps(first_lines: &[&'static str], most: usize) -> impl Strategy<Value = Vec<u8>> {
    const LINES: &[&str] = &[
        "content-length: 2\r\n",
        "content-length: 3\r\n",
        "transfer-encoding: chunked\r\n",
        "connection: close\r\n",
        "x-a:  \t b \r\n",
        ": x\r\n",
        " x\r\n",
        "\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "\0",
        "ok",
    ];
    let scrap = prop::sample::select([first_lines, LINES].concat());
    prop::collection::vec(scrap, 0..most).prop_map(|scraps| scraps.concat().into_bytes())
}
