//! The same bytes in pieces, as a network may deliver them.

use crate::{
    net::{BodyError, Streaming},
    rng::Rng,
};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use std::{
    collections::VecDeque,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, ReadBuf};
use xxhash_rust::xxh64::xxh64;

/// Places at which bytes are cut, at the most.
const CUTS_MOST: u64 = 4;

/// Byte by byte, in two, and at a few places. Where is drawn from the bytes themselves, so that an input says all there is
/// to say to repeat what it did.
pub(super) fn ways_to_cut(bytes: &[u8]) -> [Vec<&[u8]>; 3] {
    let mut rng = Rng::new(xxh64(bytes, 0));
    let mut cuts = |count| (0..count).map(|_| (rng.bits() % (bytes.len() as u64 + 1)) as usize).collect();
    let (one, few) = (cuts(1), cuts(CUTS_MOST));
    [bytes.chunks(1).collect(), cut(bytes, one), cut(bytes, few)]
}

fn cut(bytes: &[u8], mut cuts: Vec<usize>) -> Vec<&[u8]> {
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).filter(|piece| !piece.is_empty()).collect()
}

/// A connection on which these pieces come, each by a read of its own, before it ends.
pub(super) struct Pieces<'a>(pub(super) VecDeque<&'a [u8]>);

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(piece) = self.0.pop_front() {
            let (now, later) = piece.split_at(piece.len().min(buffer.remaining()));
            buffer.put_slice(now);
            if !later.is_empty() {
                self.0.push_front(later);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What a future gives that waits for nothing.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits, and all of it is there"),
    }
}

/// A body of which nobody knows the length before its end.
pub(super) struct Unannounced(VecDeque<Frame<Bytes>>);

impl Unannounced {
    /// In two pieces, where it is long enough, and with these trailers.
    pub(super) fn new(body: &[u8], trailers: HeaderMap) -> Unannounced {
        let (one, two) = body.split_at(body.len() / 2);
        let pieces = [one, two].into_iter().filter(|piece| !piece.is_empty());
        let mut frames: VecDeque<_> = pieces.map(|piece| Frame::data(Bytes::copy_from_slice(piece))).collect();
        if !trailers.is_empty() {
            frames.push_back(Frame::trailers(trailers));
        }
        Unannounced(frames)
    }
}

impl Body for Unannounced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

impl Streaming for Unannounced {}
