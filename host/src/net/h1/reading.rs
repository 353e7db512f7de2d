//! What a codec reads out of bytes, without a socket: for whoever judges it, such as fuzzers and other readers of HTTP.

use super::{BadMessage, Decoder, Piece};
use crate::net::Headers;
use bytes::BytesMut;

/// A message, as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Method and target of a request, status of an answer.
    pub first: String,
    /// In order, names in lower case, without what frames the message.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Without the chunks' framing.
    pub body: Vec<u8>,
    /// The legal ones.
    pub trailers: Vec<(String, Vec<u8>)>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Behind a message, or before the first byte of any.
    Between,
    /// In the middle of a message.
    Within,
    /// Behind a message that is the connection's last; nothing further is read.
    Last,
    /// At something that is no message.
    Refused,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whole ones.
    pub messages: Vec<Message>,
    /// The message that it ended in, when its head was whole.
    pub begun: Option<Message>,
    /// How it ended.
    pub end: End,
    /// Why it was refused; none for another protocol.
    pub why: Option<BadMessage>,
}

/// Header lines as a [`Message`] tells them.
pub(crate) fn lines(headers: &Headers) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.as_str().to_ascii_lowercase(), value.as_bytes().to_vec())).collect()
}

/// A head, how its body is read, and whether another message may follow.
pub(crate) type Begun = (Message, Decoder, bool);

/// Reads messages out of bytes that come in pieces; `take` takes a head when all of it is there, `Err` refuses.
pub(crate) fn read<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    mut take: impl FnMut(&mut BytesMut) -> Result<Option<Begun>, Option<BadMessage>>,
) -> Reading {
    let mut buffer = BytesMut::new();
    let mut reading = Reading { messages: Vec::new(), begun: None, end: End::Between, why: None };
    let mut current: Option<Begun> = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if let Err((end, why)) = advance(&mut buffer, &mut current, &mut reading.messages, &mut take) {
            return Reading { end, why, ..reading };
        }
    }
    if current.is_some() || !buffer.is_empty() {
        reading.end = End::Within;
    }
    reading.begun = current.map(|(message, ..)| message);
    reading
}

/// Takes what there is. Err: nothing further is read.
fn advance(
    buffer: &mut BytesMut,
    current: &mut Option<Begun>,
    whole: &mut Vec<Message>,
    take: &mut impl FnMut(&mut BytesMut) -> Result<Option<Begun>, Option<BadMessage>>,
) -> Result<(), (End, Option<BadMessage>)> {
    loop {
        let (mut message, mut decoder, goes_on) = match current.take() {
            Some(begun) => begun,
            None if buffer.is_empty() => return Ok(()),
            None => match take(buffer) {
                Ok(Some(begun)) => begun,
                Ok(None) => return Ok(()),
                Err(why) => return Err((End::Refused, why)),
            },
        };
        let complete = match decoder.decode(buffer).map_err(|why| (End::Refused, Some(why)))? {
            Piece::Data(bytes) => {
                message.body.extend_from_slice(&bytes);
                decoder.is_complete(buffer)
            }
            Piece::Trailers(fields) => {
                let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                    (name.as_str().to_ascii_lowercase(), value.as_bytes().to_vec())
                };
                message.trailers = fields.iter().map(line).collect();
                true
            }
            Piece::End => true,
            Piece::Nothing => {
                *current = Some((message, decoder, goes_on));
                return Ok(());
            }
        };
        if !complete {
            *current = Some((message, decoder, goes_on));
            continue;
        }
        whole.push(message);
        if !goes_on {
            return Err((End::Last, None));
        }
    }
}
